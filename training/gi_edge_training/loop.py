"""The optimisation: AdamW under warm-up and cosine, on the trainable weights only, by accelerate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gi_edge.artifacts.adapter import EpochRecord
from gi_edge.errors import ModelError
from gi_edge.progress import Progress
from gi_edge_training.checkpoint import CheckpointFile, RunState
from gi_edge_training.config import TrainSettings
from gi_edge_training.data import epoch_seed
from gi_edge_training.loss import Loss
from gi_edge_training.trackers import RunLog
from gi_edge_training.watch import Watcher, best_record

Batches = DataLoader[tuple[Tensor, int]]


class Validation(NamedTuple):
    """Scores of the validation part, computed in fp32."""

    macro_f1: float
    loss: float
    """Mean natural log loss."""


@dataclass(frozen=True)
class Fitting:
    """What is fitted, to what, and how it is judged."""

    classifier: nn.Module
    batches: Callable[[int], Batches]
    """Epoch, from 1, to its batches; equal epochs give equal batches."""
    loss: Loss
    score: Callable[[], Validation]
    """Judges the classifier as it stands."""
    log: RunLog = field(default_factory=lambda: RunLog(None, {}))


def fit(
    fitting: Fitting,
    settings: TrainSettings,
    accelerator: Accelerator,
    checkpoint: CheckpointFile,
    state: RunState,
    progress: Progress,
) -> tuple[EpochRecord, ...]:
    """Train in place, from a state on, and leave the weights of the best epoch; the state is written every epoch.

    Every epoch is seeded by its number, so that a resumed run on one CPU process equals an uninterrupted one.

    Raises: ModelError if the loss is no longer finite.
    """
    trained = {name: value for name, value in fitting.classifier.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(list(trained.values()), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    _restore(state, trained, optimizer)
    stepper = accelerator.prepare(optimizer)
    steps = math.ceil(len(fitting.batches(1)) / settings.accumulate)
    watcher = Watcher(progress, fitting.log, settings.epochs)
    with watcher.run(len(fitting.batches(1)), state.history):
        for epoch in range(len(state.history) + 1, settings.epochs + 1):
            if _is_over(state.history, settings.patience):
                break
            started = time.perf_counter()
            torch.manual_seed(epoch_seed(settings.seed, epoch))
            rates = (
                settings.learning_rate * learning_rate_factor(step, steps * settings.epochs, settings.warmup_fraction)
                for step in range(steps * (epoch - 1), steps * epoch)
            )
            mean = _train_epoch(fitting, settings, accelerator, stepper, rates, (epoch, watcher))
            score = fitting.score()
            is_best = score.macro_f1 > max((record.val_macro_f1 for record in state.history), default=-1.0)
            record = EpochRecord(
                epoch=epoch,
                loss=mean,
                val_macro_f1=score.macro_f1,
                val_loss=score.loss,
                learning_rate=stepper.param_groups[0]["lr"],
            )
            state.history.append(record)
            _remember(state, trained, optimizer, is_best=is_best)
            state.seconds += time.perf_counter() - started
            checkpoint.write(state)
            watcher.epoch(record)
    _load(trained, state.tensors, "best/")
    return tuple(state.history)


def best_epoch(history: tuple[EpochRecord, ...] | list[EpochRecord]) -> int:
    """Return the first epoch of highest validation macro-F1."""
    return best_record(history).epoch


def learning_rate_factor(step: int, steps: int, warmup_fraction: float) -> float:
    """Return the learning rate's factor: from 0 up to 1 over the warm-up, then half a cosine down to 0."""
    warmup = max(1, round(steps * warmup_fraction))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _train_epoch(
    fitting: Fitting,
    settings: TrainSettings,
    accelerator: Accelerator,
    optimizer: torch.optim.Optimizer,
    rates: Iterator[float],
    watched: tuple[int, Watcher],
) -> float:
    """Take the steps of one epoch and return the mean loss of its batches. rates: learning rate of each step."""
    epoch, watcher = watched
    classifier = fitting.classifier.train()
    total = 0.0
    batches = accelerator.prepare(fitting.batches(epoch))
    for pixels, labels in batches:
        with accelerator.accumulate(classifier):
            with accelerator.autocast():
                logits = classifier(pixels)
            loss = fitting.loss(logits.float(), labels)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(classifier.parameters(), settings.clip_norm)
                rate = next(rates)
                for group in optimizer.param_groups:
                    group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        total += float(loss.detach())
        watcher.step(float(loss.detach()), len(labels), optimizer.param_groups[0]["lr"])
    mean = total / len(batches)
    if not math.isfinite(mean):
        raise ModelError(
            f"the loss became {mean} in epoch {epoch}", fix=f"--learning-rate {settings.learning_rate / 10:g}"
        )
    return mean


def _is_over(history: list[EpochRecord], patience: int) -> bool:
    return bool(patience and history and history[-1].epoch - best_epoch(history) >= patience)


def _remember(
    state: RunState, trained: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, *, is_best: bool
) -> None:
    """Copy weights and optimiser into the state, on the CPU."""
    for name, parameter in trained.items():
        now = parameter.detach().cpu().clone()
        state.tensors[f"weights/{name}"] = now
        if is_best:
            state.tensors[f"best/{name}"] = now.clone()
        for key, value in optimizer.state[parameter].items():
            state.tensors[f"optimizer/{name}/{key}"] = torch.as_tensor(value).detach().cpu().clone()


def _restore(state: RunState, trained: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    if not state.history:
        return
    _load(trained, state.tensors, "weights/")
    for name, parameter in trained.items():
        prefix = f"optimizer/{name}/"
        for key, value in state.tensors.items():
            if key.startswith(prefix):
                moved = value.clone() if value.ndim == 0 else value.to(parameter.device, copy=True)
                optimizer.state[parameter][key.removeprefix(prefix)] = moved


def _load(trained: dict[str, nn.Parameter], tensors: dict[str, Tensor], prefix: str) -> None:
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[f"{prefix}{name}"])
