"""The loss, and what is done about classes with few frames."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from gi_edge_training.config import TrainSettings

Loss = Callable[[Tensor, Tensor], Tensor]


def loss_from_settings(settings: TrainSettings, class_counts: Tensor) -> Loss:
    """Return a function of logits [n, classes] and class indices [n]: the cross entropy of each frame, [n].

    class_counts: frames of each class in the training part, [classes], each at least 1. balance "weights" multiplies
    a frame's loss by the inverse frequency of its class, scaled to a mean of 1 over the training part;
    "logit-adjustment" adds the log of the class frequencies to the logits in training (Menon et al. 2021, tau = 1),
    so that the bare logits answer for classes that are equally frequent.
    """
    frequencies = class_counts.float() / class_counts.sum()
    weights = 1 / (len(class_counts) * frequencies)
    smoothing = settings.label_smoothing

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if settings.balance == "logit-adjustment":
            logits = logits + torch.log(frequencies).to(logits)
        each = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        return each * weights.to(each)[labels] if settings.balance == "weights" else each

    return loss
