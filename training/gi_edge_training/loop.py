"""The optimisation: AdamW under warm-up and cosine, on the trainable weights only, by accelerate."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gi_edge.artifacts.adapter import EpochRecord
from gi_edge.errors import ModelError
from gi_edge.progress import Progress, Task
from gi_edge_training.checkpoint import CheckpointFile, RunState
from gi_edge_training.config import TrainSettings
from gi_edge_training.loader import Batch, Batches, epoch_seed
from gi_edge_training.loss import Loss
from gi_edge_training.processes import from_main, tensors_from_main, together
from gi_edge_training.state import load_weights, moving_tensors, remember, restore

_SHOWN_EVERY_S = 0.5
"""Reading the loss makes the processor wait for the GPU, so it is not read at each step."""
_OF_PROCESS = 1 << 40
"""Between the seeds of two processes, which no two epochs are apart."""


@dataclass(frozen=True)
class Fitting:
    """What is fitted, to what, and how it is judged."""

    classifier: nn.Module
    batches: Callable[[int], Batches]
    """Epoch, from 1, to this process's part of its batches; equal epochs give equal batches."""
    loss: Loss
    score: Callable[[], float]
    """Validation macro-F1 of the classifier as it stands, computed in fp32; the same in all processes."""


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

    Raises: ModelError if the loss is no longer finite.
    """
    moving = moving_tensors(fitting.classifier)
    trained = [value for value in moving.values() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    state.history[:] = from_main(state.history)
    if state.history:
        kept = {name: value for name, value in state.tensors.items() if not name.startswith("best/")}
        restore(tensors_from_main(accelerator, kept), moving, optimizer)
    model, stepper = accelerator.prepare(_Forward(fitting.classifier), optimizer)
    engine = _Engine(accelerator, model, stepper, trained)
    batches = len(fitting.batches(1))
    steps = math.ceil(batches / settings.accumulate)
    with progress.task("train", batches * settings.epochs) as task:
        task.advance(batches * len(state.history))
        for epoch in range(len(state.history) + 1, settings.epochs + 1):
            if _is_over(state.history, settings.patience):
                break
            started = time.perf_counter()
            torch.manual_seed(epoch_seed(settings.seed, epoch) + _OF_PROCESS * accelerator.process_index)
            rates = (
                settings.learning_rate * learning_rate_factor(step, steps * settings.epochs, settings.warmup_fraction)
                for step in range(steps * (epoch - 1), steps * epoch)
            )
            mean = _train_epoch(fitting, settings, engine, rates, (epoch, task))
            score = fitting.score()
            is_best = score > max((record.val_macro_f1 for record in state.history), default=-1.0)
            state.history.append(EpochRecord(epoch=epoch, loss=mean, val_macro_f1=score))
            state.seconds += time.perf_counter() - started
            with together(accelerator):
                if accelerator.is_main_process:
                    remember(state, moving, optimizer, is_best=is_best)
                    checkpoint.write(state)
            progress.say(f"epoch {epoch}/{settings.epochs}: training loss {mean:.3f}, validation macro-F1 {score:.3f}")
    best = {f"best/{name}": state.tensors[f"best/{name}"] for name in moving if accelerator.is_main_process}
    load_weights(moving, tensors_from_main(accelerator, best), "best/")
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
    fitting: Fitting, settings: TrainSettings, engine: _Engine, rates: Iterator[float], shown: tuple[int, Task]
) -> float:
    """Take the steps of one epoch and return the mean loss of its frames. rates: learning rate of each step."""
    epoch, task = shown
    fitting.classifier.train()
    started = told = time.perf_counter()
    total = torch.zeros((), dtype=torch.float64, device=engine.accelerator.device)
    images, note = 0, ""
    for group in _groups(fitting.batches(epoch), settings.accumulate):
        loss = engine.backward(fitting, group)
        engine.step(next(rates), settings.clip_norm)
        total += loss
        images += sum(batch.frames for batch in group)
        now = time.perf_counter()
        if not note or now - told > _SHOWN_EVERY_S:
            told = now
            mean = float(loss) / max(1, sum(batch.counted for batch in group))
            note = f"epoch {epoch}/{settings.epochs}, loss {mean:.3f}, {images / (now - started):.0f} images/s"
        task.advance(len(group), note=note)
    mean = float(engine.accelerator.reduce(total)) / images
    with together(engine.accelerator):
        if not math.isfinite(mean):
            raise ModelError(
                f"the loss became {mean} in epoch {epoch}", fix=f"--learning-rate {settings.learning_rate / 10:g}"
            )
    return mean


def _groups(batches: Batches, size: int) -> Iterator[list[Batch]]:
    """Yield the batches of each step."""
    given = iter(batches)
    while group := list(itertools.islice(given, size)):
        yield group


def _is_over(history: list[EpochRecord], patience: int) -> bool:
    return bool(patience and history and history[-1].epoch - best_epoch(history) >= patience)
