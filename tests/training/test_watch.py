"""What is told and logged of a training while it runs."""

from __future__ import annotations

import importlib.util
import re
from contextlib import contextmanager

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gi_edge.artifacts.adapter import EpochRecord
from gi_edge.errors import ArtifactError, MissingDependencyError
from gi_edge_training.trackers import LogPlace, RunLog, check_tracker
from gi_edge_training.watch import Watcher

RECORDS = [
    EpochRecord(epoch=1, loss=0.9, val_macro_f1=0.5, val_loss=0.8, learning_rate=1e-3),
    EpochRecord(epoch=2, loss=0.5, val_macro_f1=0.7, val_loss=0.6, learning_rate=5e-4),
    EpochRecord(epoch=3, loss=0.4, val_macro_f1=0.6, val_loss=0.7, learning_rate=0.0),
]
BATCHES = 4


class Heard:
    def __init__(self):
        self.lines, self.notes, self.done, self.total = [], [], 0, 0

    def say(self, text):
        self.lines.append(text)

    @contextmanager
    def task(self, title, total):
        self.total = total
        yield self

    def advance(self, steps=1, note=""):
        self.done += steps
        self.notes.append(note)


def watched(log, heard=None, *, first=1, last=3, cut_after=0):
    """Play the epochs first to last of three; with cut_after end within the epoch that follows, as a kill does."""
    heard = heard or Heard()
    watcher = Watcher(heard, log, 3)
    with watcher.run(BATCHES, RECORDS[: first - 1]):
        for record in RECORDS[first - 1 : last]:
            for batch in range(BATCHES):
                watcher.step(record.loss + 0.01 * batch, 16, record.learning_rate)
            watcher.epoch(record)
        for _ in range(cut_after):
            watcher.step(99.0, 16, 0.1)
    return heard


def scalars(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_the_bar_tells_epoch_smoothed_loss_last_and_best_score_and_speed():
    heard = watched(RunLog(None, {}))
    assert (heard.done, heard.total) == (12, 12)
    assert re.fullmatch(r"epoch 1/3 · loss 0\.900 · \d+ images/s · rate 1\.0e-03", heard.notes[0])
    assert "· macro-F1 0.700 (best) ·" in heard.notes[8]
    smoothed = [float(re.search(r"loss ([\d.]+)", note).group(1)) for note in heard.notes]
    assert 0.4 < smoothed[-1] < 0.9  # neither the last batch nor the first
    assert smoothed == sorted(smoothed, reverse=True) or smoothed[3] > smoothed[0]


def test_a_loss_that_was_not_read_moves_the_bar_and_is_not_logged(tmp_path):
    heard = Heard()
    watcher = Watcher(heard, RunLog(LogPlace("tensorboard", tmp_path / "a"), {}), 3)
    with watcher.run(BATCHES, []):
        watcher.step(None, 32, 1e-3, batches=2)
        watcher.step(0.5, 32, 1e-3, batches=2)
    assert heard.done == 4
    assert heard.notes[-1].startswith("epoch 1/3 · loss 0.500 ·")
    assert scalars(tmp_path / "a")["train/loss"] == [(4, 0.5)]


def test_a_line_per_epoch_tells_the_same():
    lines = watched(RunLog(None, {})).lines
    assert re.fullmatch(
        r"epoch 1/3: training loss 0\.900, validation loss 0\.800 and macro-F1 0\.500 \(best\), \d+ images/s, "
        r"rate 1\.0e-03, 0 s left",
        lines[0],
    )
    assert "macro-F1 0.600 (best 0.700, epoch 2)" in lines[2]
    assert "left" not in lines[2]


def test_a_resumed_bar_starts_where_the_run_stood():
    heard = watched(RunLog(None, {}), first=3)
    assert (heard.done, heard.total) == (12, 12)
    assert "epoch 3/3" in heard.notes[-1]


def test_tensorboard_holds_every_batch_every_epoch_and_the_settings(tmp_path):
    place = LogPlace("tensorboard", tmp_path / "runs" / "a")
    watched(RunLog(place, {"rank": 4, "backbone": None, "stage_ranks": (1, 2)}))
    found = scalars(place.folder)
    assert found["train/loss"][:2] == [(1, pytest.approx(0.9)), (2, pytest.approx(0.91))]
    assert [step for step, _ in found["train/images_per_second"]] == list(range(1, 13))
    assert found["train/learning_rate"][5] == (6, pytest.approx(5e-4))
    for tag, name in (("train/epoch_loss", "loss"), ("val/macro_f1", "val_macro_f1"), ("val/loss", "val_loss")):
        assert found[tag] == [(4 * record.epoch, pytest.approx(getattr(record, name))) for record in RECORDS]
    assert [path.parent for path in tmp_path.rglob("*") if path.is_file()] == [place.folder]
    events = EventAccumulator(str(place.folder))
    events.Reload()
    summary = events.SummaryMetadata("_hparams_/session_start_info")
    assert b"stage_ranks" in summary.plugin_data.content
    assert b"rank" in summary.plugin_data.content


def test_a_resumed_log_goes_on_without_the_batches_of_the_lost_epoch(tmp_path):
    place = LogPlace("tensorboard", tmp_path / "a")
    watched(RunLog(place, {}), last=1, cut_after=3)
    assert len(scalars(place.folder)["train/loss"]) == 7
    watched(RunLog(place, {}), first=2)
    found = scalars(place.folder)
    assert [step for step, _ in found["train/loss"]] == list(range(1, 13))
    assert max(value for _, value in found["train/loss"]) < 1
    assert [step for step, _ in found["val/macro_f1"]] == [4, 8, 12]


def test_a_new_run_of_the_same_name_begins_a_new_log(tmp_path):
    place = LogPlace("tensorboard", tmp_path / "a")
    watched(RunLog(place, {}))
    (place.folder / "mine.txt").write_text("kept")
    watched(RunLog(place, {}), last=1)
    assert [step for step, _ in scalars(place.folder)["train/loss"]] == [1, 2, 3, 4]
    assert (place.folder / "mine.txt").exists()


def test_a_log_that_cannot_begin_is_an_error_before_training(tmp_path):
    (tmp_path / "runs").write_text("a file where the folder should be")
    heard = Heard()
    with pytest.raises(ArtifactError, match="the tensorboard log in .* cannot be written") as caught:
        watched(RunLog(LogPlace("tensorboard", tmp_path / "runs" / "a"), {}), heard)
    assert "--tracker none" in caught.value.fix
    assert heard.notes == []


def test_a_log_that_breaks_later_is_told_once_and_training_goes_on(tmp_path, monkeypatch):
    from accelerate.tracking import TensorBoardTracker

    real = TensorBoardTracker.log

    def failing(self, values, step=None):
        if step > 5:
            raise OSError(28, "No space left on device")
        real(self, values, step=step)

    monkeypatch.setattr(TensorBoardTracker, "log", failing)
    heard = watched(RunLog(LogPlace("tensorboard", tmp_path / "a"), {}))
    told = [line for line in heard.lines if "No space left on device" in line]
    assert told == [
        "the log of this run is cut short, the training is not: OSError: [Errno 28] No space left on device"
    ]
    assert heard.done == 12
    assert len(scalars(tmp_path / "a")["train/loss"]) == 5


@pytest.mark.parametrize(("tracker", "fix"), [("mlflow", "pip install mlflow"), ("tensorboard", "gi-edge[train]")])
def test_a_tracker_that_is_not_installed_names_the_line_that_installs_it(monkeypatch, tracker, fix):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=f"needs the package '{tracker}'") as caught:
        check_tracker(tracker)
    assert fix in caught.value.fix
    check_tracker("none")


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_the_other_trackers_log_a_run_that_was_resumed(tmp_path, tracker, monkeypatch):
    module = pytest.importorskip(tracker, reason=f"{tracker} is not installed")
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    place = LogPlace(tracker, tmp_path / "runs" / "a")
    watched(RunLog(place, {"rank": 4}), last=1, cut_after=3)
    watched(RunLog(place, {"rank": 4}), first=2)
    if tracker == "wandb":
        assert len(list(place.folder.glob("wandb/offline-run-*"))) == 2
        return
    run_id = (place.folder / "mlflow-run.txt").read_text()
    client = module.MlflowClient()
    assert client.get_run(run_id).data.params["rank"] == "4"
    assert sorted(point.step for point in client.get_metric_history(run_id, "train/loss")) == list(range(1, 13))
    assert [point.value for point in client.get_metric_history(run_id, "val/macro_f1")] == [0.5, 0.7, 0.6]
