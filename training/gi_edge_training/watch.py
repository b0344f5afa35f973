"""A training while it runs: the line beside the bar, a line per epoch, and the tracker's log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gi_edge.artifacts.adapter import EpochRecord
from gi_edge.progress import Progress, Task
from gi_edge_training.trackers import RunLog

_SMOOTHING = 0.95
"""Weight of the past in the moving average of the loss: about the last twenty batches."""


class Watcher:
    """Told of every batch and every epoch, shows and logs them."""

    def __init__(self, progress: Progress, log: RunLog, epochs: int) -> None:
        self._progress = progress
        self._log = log
        self._epochs = epochs
        self._history: list[EpochRecord] = []
        self._batches = 0

    @contextmanager
    def run(self, batches: int, history: Sequence[EpochRecord]) -> Iterator[None]:
        """Watch a run of so many batches per epoch, whose finished epochs are given, while the block runs."""
        self._history = list(history)
        self._batches = batches * len(history)
        self._started = self._epoch_started = self._before = time.perf_counter()
        self._resumed_at = len(history)
        self._images = self._images_before = self._seen = 0
        self._smoothed = self._speed = 0.0
        self._note = ""
        with self._log.open(self._batches), self._progress.task("train", batches * self._epochs) as task:
            self._task: Task = task
            if history:
                task.advance(self._batches)
            yield
        self._tell_fault()

    def step(self, loss: float | None, images: int, learning_rate: float, batches: int = 1) -> None:
        """Tell batches that were passed: their mean loss, number of images, the rate of the step they belong to.

        loss None: it was not read, as reading it makes the processor wait for a GPU; the bar moves, nothing is logged.
        """
        self._batches += batches
        self._images += images
        if loss is None:
            self._task.advance(batches, self._note)
            return
        now = time.perf_counter()
        self._seen += 1
        self._speed = self._images / max(now - self._epoch_started, 1e-9)
        self._smoothed += (1 - _SMOOTHING) / (1 - _SMOOTHING**self._seen) * (loss - self._smoothed)
        recent_speed = (self._images - self._images_before) / max(now - self._before, 1e-9)
        self._before, self._images_before = now, self._images
        self._log.add(
            {"train/loss": loss, "train/learning_rate": learning_rate, "train/images_per_second": recent_speed},
            self._batches,
        )
        facts = [f"epoch {len(self._history) + 1}/{self._epochs}", f"loss {self._smoothed:.3f}"]
        if self._history:
            facts.append(_macro_f1(self._history))
        self._note = " · ".join([*facts, f"{self._speed:.0f} images/s", f"rate {learning_rate:.1e}"])
        self._task.advance(batches, self._note)

    def epoch(self, record: EpochRecord) -> None:
        """Tell a finished epoch, once its state is safe."""
        self._history.append(record)
        values = {"train/epoch_loss": record.loss, "val/macro_f1": record.val_macro_f1, "epoch": float(record.epoch)}
        if record.val_loss is not None:
            values["val/loss"] = record.val_loss
        self._log.add(values, self._batches)
        self._log.flush()
        self._tell_fault()
        self._progress.say(self._line(record))
        self._images = self._images_before = 0
        self._epoch_started = self._before = time.perf_counter()

    def _tell_fault(self) -> None:
        fault = self._log.taken_fault()
        if fault:
            self._progress.say(f"the log of this run is cut short, the training is not: {fault}")

    def _line(self, record: EpochRecord) -> str:
        facts = [f"epoch {record.epoch}/{self._epochs}: training loss {record.loss:.3f}"]
        loss = "" if record.val_loss is None else f"loss {record.val_loss:.3f} and "
        facts += [f"validation {loss}{_macro_f1(self._history)}", f"{self._speed:.0f} images/s"]
        if record.learning_rate is not None:
            facts.append(f"rate {record.learning_rate:.1e}")
        left = self._epochs - record.epoch
        if left:
            per_epoch = (time.perf_counter() - self._started) / (len(self._history) - self._resumed_at)
            facts.append(f"{_duration(left * per_epoch)} left")
        return ", ".join(facts)


def best_record(history: Sequence[EpochRecord]) -> EpochRecord:
    """Return the first epoch of highest validation macro-F1."""
    return max(history, key=lambda record: (record.val_macro_f1, -record.epoch))


def _macro_f1(history: Sequence[EpochRecord]) -> str:
    best, last = best_record(history), history[-1]
    words = f"macro-F1 {last.val_macro_f1:.3f}"
    return f"{words} (best)" if best is last else f"{words} (best {best.val_macro_f1:.3f}, epoch {best.epoch})"


def _duration(seconds: float) -> str:
    """Return a duration in the two largest units that matter."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
