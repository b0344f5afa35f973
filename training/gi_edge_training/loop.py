"""The optimisation: AdamW under warm-up and cosine, on the trainable weights only."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gi_edge.errors import ModelError
from gi_edge.progress import Progress
from gi_edge_training.config import TrainSettings


def fit(
    classifier: nn.Module,
    loader: DataLoader[tuple[Tensor, int]],
    settings: TrainSettings,
    *,
    progress: Progress,
    score: Callable[[], str],
) -> None:
    """Train in place. score is called after each epoch; what it returns is told beside the loss.

    Raises: ModelError if the loss is no longer finite.
    """
    device = next(classifier.parameters()).device
    trained = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = len(loader) * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, settings.warmup_fraction)
    )
    loss_of = nn.CrossEntropyLoss()
    with progress.task("train", steps) as task:
        for epoch in range(1, settings.epochs + 1):
            classifier.train()
            total = 0.0
            for pixels, labels in loader:
                loss = loss_of(classifier(pixels.to(device)), labels.to(device))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                total += float(loss.detach())
                task.advance(note=f"epoch {epoch}/{settings.epochs}, loss {float(loss.detach()):.3f}")
            mean = total / len(loader)
            if not math.isfinite(mean):
                raise ModelError(
                    f"the loss became {mean} in epoch {epoch}",
                    fix=f"--learning-rate {settings.learning_rate / 10:g}",
                )
            progress.say(f"epoch {epoch}/{settings.epochs}: training loss {mean:.3f}, {score()}")


def learning_rate_factor(step: int, steps: int, warmup_fraction: float) -> float:
    """Return the learning rate's factor: from 0 up to 1 over the warm-up, then half a cosine down to 0."""
    warmup = max(1, round(steps * warmup_fraction))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
