"""The optimisation: AdamW under warm-up and cosine, on the trainable weights only, by accelerate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gi_edge.artifacts.adapter import EpochRecord
from gi_edge.errors import ModelError
from gi_edge.modeling.methods import enter_training, parameter_groups
from gi_edge.progress import Progress, Task
from gi_edge_training.checkpoint import CheckpointFile, RunState
from gi_edge_training.config import TrainSettings
from gi_edge_training.data import epoch_seed
from gi_edge_training.loss import Loss

Batches = DataLoader[tuple[Tensor, int]]


@dataclass(frozen=True)
class Fitting:
    """What is fitted, to what, and how it is judged."""

    classifier: nn.Module
    batches: Callable[[int], Batches]
    """Epoch, from 1, to its batches; equal epochs give equal batches."""
    loss: Loss
    score: Callable[[], float]
    """Validation macro-F1 of the classifier as it stands, computed in fp32."""


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
    trained = _moving_tensors(fitting.classifier)
    optimizer = torch.optim.AdamW(parameter_groups(trained, settings.weight_decay), lr=settings.learning_rate)
    _restore(state, trained, optimizer)
    stepper = accelerator.prepare(optimizer)
    steps = math.ceil(len(fitting.batches(1)) / settings.accumulate)
    with progress.task("train", steps * settings.accumulate * settings.epochs) as task:
        task.advance(steps * settings.accumulate * len(state.history))
        for epoch in range(len(state.history) + 1, settings.epochs + 1):
            if _is_over(state.history, settings.patience):
                break
            started = time.perf_counter()
            torch.manual_seed(epoch_seed(settings.seed, epoch))
            rates = (
                settings.learning_rate * learning_rate_factor(step, steps * settings.epochs, settings.warmup_fraction)
                for step in range(steps * (epoch - 1), steps * epoch)
            )
            mean = _train_epoch(fitting, settings, accelerator, stepper, rates, (epoch, task))
            score = fitting.score()
            is_best = score > max((record.val_macro_f1 for record in state.history), default=-1.0)
            state.history.append(EpochRecord(epoch=epoch, loss=mean, val_macro_f1=score))
            _remember(state, trained, optimizer, is_best=is_best)
            state.seconds += time.perf_counter() - started
            checkpoint.write(state)
            progress.say(f"epoch {epoch}/{settings.epochs}: training loss {mean:.3f}, validation macro-F1 {score:.3f}")
    _load(trained, state.tensors, "best/")
    return tuple(state.history)


def best_epoch(history: tuple[EpochRecord, ...] | list[EpochRecord]) -> int:
    """Return the first epoch of highest validation macro-F1."""
    return max(history, key=lambda record: (record.val_macro_f1, -record.epoch)).epoch


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
    shown: tuple[int, Task],
) -> float:
    """Take the steps of one epoch and return the mean loss of its batches. rates: learning rate of each step."""
    epoch, task = shown
    classifier = fitting.classifier
    enter_training(classifier)
    total, images, started = 0.0, 0, time.perf_counter()
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
        total, images = total + float(loss.detach()), images + len(labels)
        speed = images / (time.perf_counter() - started)
        task.advance(note=f"epoch {epoch}/{settings.epochs}, loss {float(loss.detach()):.3f}, {speed:.0f} images/s")
    mean = total / len(batches)
    if not math.isfinite(mean):
        raise ModelError(
            f"the loss became {mean} in epoch {epoch}", fix=f"--learning-rate {settings.learning_rate / 10:g}"
        )
    return mean


def _is_over(history: list[EpochRecord], patience: int) -> bool:
    return bool(patience and history and history[-1].epoch - best_epoch(history) >= patience)


def _moving_tensors(classifier: nn.Module) -> dict[str, Tensor]:
    """Return the weights that train and the buffers that are saved, such as the means of batch normalisation."""
    trained = {name: value for name, value in classifier.named_parameters() if value.requires_grad}
    saved = classifier.state_dict(keep_vars=True)
    return trained | {name: value for name, value in classifier.named_buffers() if name in saved}


def _remember(state: RunState, trained: dict[str, Tensor], optimizer: torch.optim.Optimizer, *, is_best: bool) -> None:
    """Copy weights and optimiser into the state, on the CPU."""
    for name, parameter in trained.items():
        now = parameter.detach().cpu().clone()
        state.tensors[f"weights/{name}"] = now
        if is_best:
            state.tensors[f"best/{name}"] = now.clone()
        for key, value in optimizer.state.get(parameter, {}).items():
            state.tensors[f"optimizer/{name}/{key}"] = torch.as_tensor(value).detach().cpu().clone()


def _restore(state: RunState, trained: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    if not state.history:
        return
    _load(trained, state.tensors, "weights/")
    for name, parameter in trained.items():
        prefix = f"optimizer/{name}/"
        for key, value in state.tensors.items():
            if key.startswith(prefix):
                moved = value.clone() if value.ndim == 0 else value.to(parameter.device, copy=True)
                optimizer.state[parameter][key.removeprefix(prefix)] = moved


def _load(trained: dict[str, Tensor], tensors: dict[str, Tensor], prefix: str) -> None:
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[f"{prefix}{name}"])
