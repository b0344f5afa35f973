"""The optimisation: AdamW under warm-up and cosine, on the trainable weights only, by accelerate."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gi_edge.artifacts.adapter import EpochRecord
from gi_edge.errors import ModelError
from gi_edge.modeling.methods import enter_training, parameter_groups
from gi_edge.progress import Progress
from gi_edge_training.checkpoint import CheckpointFile, RunState
from gi_edge_training.config import TrainSettings
from gi_edge_training.fused import fused_blocks
from gi_edge_training.loader import Batch, Batches, epoch_seed
from gi_edge_training.loss import Loss
from gi_edge_training.memory import peak_memory_bytes
from gi_edge_training.processes import from_main, tensors_from_main, together
from gi_edge_training.state import load_weights, moving_tensors, remember, restore
from gi_edge_training.trackers import RunLog
from gi_edge_training.watch import Watcher, best_record

_SHOWN_EVERY_S = 0.5
"""Reading the loss makes the processor wait for the GPU, so it is not read at each step."""
_OF_PROCESS = 1 << 40
"""Between the seeds of two processes, which no two epochs are apart."""


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
    """Epoch, from 1, to this process's part of its batches; equal epochs give equal batches."""
    loss: Loss
    score: Callable[[], Validation]
    """Judges the classifier as it stands; the same in all processes."""
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

    Every epoch is seeded by its number, so that a resumed run on one CPU process equals an uninterrupted one. Several
    processes take the steps of one, up to rounding; with dropout each draws masks of its own, so that the noise, not
    its size, depends on their number. The state is the main process's; in the others it is the history alone.

    Raises: ModelError if the loss of training or validation is no longer finite.
    """
    moving = moving_tensors(fitting.classifier)
    trained = [value for value in moving.values() if value.requires_grad]
    optimizer = torch.optim.AdamW(parameter_groups(moving, settings.weight_decay), lr=settings.learning_rate)
    state.history[:] = from_main(state.history)
    if state.history:
        kept = {name: value for name, value in state.tensors.items() if not name.startswith("best/")}
        restore(tensors_from_main(accelerator, kept), moving, optimizer)
    model, stepper = accelerator.prepare(_Forward(fitting.classifier), optimizer)
    engine = _Engine(accelerator, model, stepper, trained)
    batches = len(fitting.batches(1))
    steps = math.ceil(batches / settings.accumulate)
    watcher = Watcher(progress, fitting.log, settings.epochs)
    with watcher.run(batches, state.history):
        for epoch in range(len(state.history) + 1, settings.epochs + 1):
            if _is_over(state.history, settings.patience):
                break
            started = time.perf_counter()
            torch.manual_seed(epoch_seed(settings.seed, epoch) + _OF_PROCESS * accelerator.process_index)
            rates = (
                settings.learning_rate * learning_rate_factor(step, steps * settings.epochs, settings.warmup_fraction)
                for step in range(steps * (epoch - 1), steps * epoch)
            )
            with _fused(fitting.classifier, settings, accelerator):
                mean = _train_epoch(fitting, settings, engine, rates, (epoch, watcher))
            score = fitting.score()
            _check_finite(accelerator, "validation loss", score.loss, settings, epoch)
            is_best = score.macro_f1 > max((record.val_macro_f1 for record in state.history), default=-1.0)
            record = EpochRecord(
                epoch=epoch,
                loss=mean,
                val_macro_f1=score.macro_f1,
                val_loss=score.loss,
                learning_rate=stepper.param_groups[0]["lr"],
            )
            state.history.append(record)
            state.seconds += time.perf_counter() - started
            state.peak_memory_bytes = max(state.peak_memory_bytes, peak_memory_bytes(accelerator.device))
            with together(accelerator):
                if accelerator.is_main_process:
                    remember(state, moving, optimizer, is_best=is_best)
                    checkpoint.write(state)
            watcher.epoch(record)
    best = {f"best/{name}": state.tensors[f"best/{name}"] for name in moving if accelerator.is_main_process}
    load_weights(moving, tensors_from_main(accelerator, best), "best/")
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


def _fused(
    classifier: nn.Module, settings: TrainSettings, accelerator: Accelerator
) -> contextlib.AbstractContextManager[object]:
    """Fuse the blocks for the training steps on a CPU; a compiler fuses by itself, and on a GPU it was not measured."""
    fuses = accelerator.device.type == "cpu" and not settings.compile
    return fused_blocks(classifier) if fuses else contextlib.nullcontext()


class _Forward(nn.Module):
    """What accelerate wraps, so that the classifier stays as it is: scored in fp32, saved by its own names."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.classifier(pixels)
        return logits


@dataclass(frozen=True)
class _Engine:
    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    trained: list[Tensor]

    def backward(self, fitting: Fitting, group: list[Batch]) -> Tensor:
        """Leave the gradient of the mean loss over the frames of a group of batches; return this process's sum [].

        Between processes gradients are averaged, hence the factor; they are sent once, with the last batch.
        """
        frames = sum(batch.frames for batch in group)
        total = torch.zeros((), dtype=torch.float64, device=self.accelerator.device)
        for batch in group:
            sent = contextlib.nullcontext() if batch is group[-1] else self.accelerator.no_sync(self.model)
            with sent:
                logits = self.model(batch.pixels)
                loss = fitting.loss(logits.float(), batch.labels)[: batch.counted].sum()
                self.accelerator.backward(loss * (self.accelerator.num_processes / frames))
            total += loss.detach()
        return total

    def step(self, rate: float, clip_norm: float) -> None:
        """Clip the gradient, take a step at this learning rate and forget the gradient."""
        self.accelerator.clip_grad_norm_(self.trained, clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()


def _train_epoch(
    fitting: Fitting,
    settings: TrainSettings,
    engine: _Engine,
    rates: Iterator[float],
    watched: tuple[int, Watcher],
) -> float:
    """Take the steps of one epoch and return the mean loss of its frames. rates: learning rate of each step."""
    epoch, watcher = watched
    enter_training(fitting.classifier)
    told = 0.0
    total = torch.zeros((), dtype=torch.float64, device=engine.accelerator.device)
    images = 0
    for group in _groups(fitting.batches(epoch), settings.accumulate):
        loss, rate = engine.backward(fitting, group), next(rates)
        engine.step(rate, settings.clip_norm)
        total += loss
        frames = sum(batch.frames for batch in group)
        images += frames
        now = time.perf_counter()
        is_read = engine.accelerator.device.type == "cpu" or now - told > _SHOWN_EVERY_S
        told = now if is_read else told
        counted = max(1, sum(batch.counted for batch in group))
        watcher.step(float(loss) / counted if is_read else None, frames, rate, len(group))
    mean = float(engine.accelerator.reduce(total)) / images
    _check_finite(engine.accelerator, "loss", mean, settings, epoch)
    return mean


def _check_finite(accelerator: Accelerator, name: str, value: float, settings: TrainSettings, epoch: int) -> None:
    """Refuse to go on from weights that diverged, be it in the last step of an epoch. Raises: ModelError."""
    with together(accelerator):
        if not math.isfinite(value):
            raise ModelError(
                f"the {name} became {value} in epoch {epoch}", fix=f"--learning-rate {settings.learning_rate / 10:g}"
            )


def _groups(batches: Batches, size: int) -> Iterator[list[Batch]]:
    """Yield the batches of each step."""
    given = iter(batches)
    while group := list(itertools.islice(given, size)):
        yield group


def _is_over(history: list[EpochRecord], patience: int) -> bool:
    return bool(patience and history and history[-1].epoch - best_epoch(history) >= patience)
