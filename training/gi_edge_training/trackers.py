"""The log of a run, by accelerate's trackers: TensorBoard, MLflow or Weights & Biases."""

from __future__ import annotations

import importlib.util
import netrc
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accelerate.state import PartialState
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker

from gi_edge.deps import install_command
from gi_edge.errors import ArtifactError, MissingDependencyError
from gi_edge_training.config import Tracker

Plain = bool | str | float | int

_PROJECT = "gi-edge"
_ID_FILE = "{}-run.txt"
"""Holds the id under which MLflow or Weights & Biases knows the run, so that a resumed run finds it."""


@dataclass(frozen=True)
class LogPlace:
    """Where a log goes."""

    tracker: Tracker
    folder: Path
    """Of this run alone, such as runs/NAME."""

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.name


class RunLog:
    """Scalars of one run. Opening it fails loudly, before training; a later fault ends the log, not the training.

    place None: no log. parameters: the settings of the run. TensorBoard is written at once, and a resumed run
    takes back what an ended process logged after its last finished epoch. The others cannot take anything back, so
    they get the values of an epoch when it is finished.
    """

    def __init__(self, place: LogPlace | None, parameters: Mapping[str, object]) -> None:
        self._place = place
        self._parameters = {name: _plain(value) for name, value in parameters.items()}
        self._tracker: GeneralTracker | None = None
        self._held: list[tuple[dict[str, float], int]] = []
        self._fault = ""

    @contextmanager
    def open(self, step: int) -> Iterator[None]:
        """Log while the block runs, from the values after this step on; step 0 begins a new log in place of an old.

        Raises: ArtifactError if the log cannot be begun.
        """
        if self._place is None or not PartialState().is_main_process:
            yield
            return
        try:
            self._tracker = _started(self._place, self._parameters, step)
        except Exception as error:
            raise ArtifactError(
                f"the {self._place.tracker} log in {self._place.folder} cannot be written: {error}",
                fix="mend that, choose another --tracker, or train with --tracker none",
            ) from error
        try:
            yield
        finally:
            self._finish()

    def add(self, values: dict[str, float], step: int) -> None:
        """Log values of one step."""
        if self._tracker is None:
            return
        self._held.append((values, step))
        if self._place is not None and self._place.tracker == "tensorboard":
            self._send()

    def flush(self) -> None:
        """Hand over the values of a finished epoch."""
        self._send()

    def taken_fault(self) -> str:
        """Return the fault that ended the log, once; else an empty text."""
        fault, self._fault = self._fault, ""
        return fault

    def _send(self) -> None:
        held, self._held = self._held, []
        try:
            for values, step in held:
                if self._tracker is not None:
                    self._tracker.log(values, step=step)
        except Exception as error:  # noqa: BLE001, a training is worth more than its log
            self._fault = f"{type(error).__name__}: {error}"
            self._finish()

    def _finish(self) -> None:
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return
        try:
            tracker.finish()
        except Exception as error:  # noqa: BLE001, as above
            self._fault = self._fault or f"{type(error).__name__}: {error}"


def check_tracker(tracker: Tracker) -> None:
    """Raise MissingDependencyError, naming the line that installs it, if a tracker's package is not installed."""
    if tracker != "none" and importlib.util.find_spec(tracker) is None:
        install = install_command("train") if tracker == "tensorboard" else f"pip install {tracker}"
        raise MissingDependencyError(
            f"--tracker {tracker} needs the package '{tracker}', which is not installed",
            fix=f"{install} (or train with --tracker none)",
        )


def _started(place: LogPlace, parameters: Mapping[str, Plain], step: int) -> GeneralTracker:
    place.folder.mkdir(parents=True, exist_ok=True)
    if place.tracker == "tensorboard":
        return _tensorboard(place, parameters, step)
    if step == 0:
        (place.folder / _ID_FILE.format(place.tracker)).unlink(missing_ok=True)
    tracker = _mlflow(place) if place.tracker == "mlflow" else _wandb(place)
    if step == 0:
        tracker.store_init_configuration(dict(parameters))
    return tracker


def _tensorboard(place: LogPlace, parameters: Mapping[str, Plain], step: int) -> GeneralTracker:
    from torch.utils.tensorboard.summary import hparams

    if step == 0:
        for old in place.folder.glob("events.out.tfevents.*"):
            old.unlink()
    tracker = TensorBoardTracker(place.name, place.folder.parent, purge_step=step + 1 if step else None)
    tracker.start()
    if step == 0:
        # accelerate would store them in subfolders, which TensorBoard shows as further runs
        for summary in hparams(dict(parameters), {}):  # type: ignore[no-untyped-call]
            tracker.tracker.file_writer.add_summary(summary)
    return tracker


def _plain(value: object) -> Plain:
    return value if isinstance(value, (bool, str, float, int)) else str(value)


def _mlflow(place: LogPlace) -> GeneralTracker:
    import mlflow

    if not mlflow.is_tracking_uri_set():
        mlflow.set_tracking_uri(f"sqlite:///{(place.folder / 'mlflow.db').resolve()}")
    known = place.folder / _ID_FILE.format("mlflow")
    run_id = known.read_text(encoding="utf-8") if known.exists() else None
    tracker = MLflowTracker(_PROJECT, str(place.folder.resolve()), run_id=run_id, run_name=place.name)
    tracker.start()
    known.write_text(tracker.tracker.info.run_id, encoding="utf-8")
    return tracker


def _wandb(place: LogPlace) -> GeneralTracker:
    import wandb

    known = place.folder / _ID_FILE.format("wandb")
    if not known.exists():
        known.write_text(uuid.uuid4().hex, encoding="utf-8")
    tracker = WandBTracker(
        _PROJECT,
        name=place.name,
        id=known.read_text(encoding="utf-8"),
        resume="allow",
        dir=str(place.folder),
        mode=None if _wandb_is_set_up() else "offline",
        settings=wandb.Settings(silent=True, console="off"),
    )
    tracker.start()
    return tracker


def _wandb_is_set_up() -> bool:
    """Return whether Weights & Biases would not have to ask: a mode or key in the environment, or a saved login."""
    if any(os.environ.get(name) for name in ("WANDB_MODE", "WANDB_API_KEY")):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
