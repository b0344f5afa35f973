"""The classifier as it is deployed: pixels in, logits out, the normalisation inside."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gi_edge.data.preprocess import PreprocessSpec

SCORED_TOGETHER = 32
"""Frames in one forward pass; another number may round differently."""


class PixelClassifier(nn.Module):
    """uint8 pixels [n, size, size, 3] RGB → float32 logits [n, classes].

    The pixels become floats before anything else: TensorRT takes a uint8 input only when it is cast first.
    """

    def __init__(self, model: nn.Module, spec: PreprocessSpec, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype
        self.register_buffer("scale", 1.0 / (255.0 * torch.tensor(spec.std)), persistent=False)
        self.register_buffer("shift", -torch.tensor(spec.mean) / torch.tensor(spec.std), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits for a batch of pixels."""
        scaled = pixels.to(torch.float32) * cast(Tensor, self.scale) + cast(Tensor, self.shift)
        logits = self.model(scaled.permute(0, 3, 1, 2).to(self.dtype))
        return cast(Tensor, logits.to(torch.float32))


def logits_of(
    classifier: nn.Module, pixels: NDArray[np.uint8], rows: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Run a PixelClassifier in evaluation mode over pixels [n, size, size, 3], or over those rows of them.

    Returns float32 logits [n or rows, classes]; at least one frame is needed.
    """
    device = next(classifier.parameters()).device
    rows = np.arange(len(pixels)) if rows is None else rows
    was_training = classifier.training
    classifier.eval()
    with torch.inference_mode():
        outputs = [
            classifier(torch.from_numpy(pixels[batch]).to(device)).float().cpu().numpy()
            for batch in np.array_split(rows, math.ceil(len(rows) / SCORED_TOGETHER))
        ]
    classifier.train(was_training)
    return np.concatenate(outputs)
