"""The optimisation and what surrounds it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gi_edge.errors import ArtifactError, ModelError
from gi_edge.progress import Silent
from gi_edge_training.checkpoint import CheckpointFile, RunState
from gi_edge_training.config import TrainSettings
from gi_edge_training.engine import accelerator_from_settings, cpu_computes_bf16, resolved_settings
from gi_edge_training.loader import Batch
from gi_edge_training.loop import Fitting, Validation, best_epoch, fit, learning_rate_factor
from gi_edge_training.loss import loss_from_settings
from gi_edge_training.recipes import read_recipe, recipe_names


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)
        self.frozen.requires_grad_(False)

    def forward(self, pixels):
        return self.head(self.frozen(pixels))


def separable(n=64, size=16):
    pixels = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    labels = (pixels[:, 0] > 0).long()
    parts = zip(pixels.split(size), labels.split(size), strict=True)
    return [Batch(*part, counted=len(part[0]), frames=len(part[0])) for part in parts]


def fitted(model, settings, folder, *, scores=(0.5,), state=None, heard=None):
    """Fit a model; the scores are those of its epochs, the last one repeated."""
    given = iter(scores)
    last = [0.0]

    def score():
        last[0] = next(given, last[0])
        return Validation(last[0], 1.0)

    settings = settings.model_copy(update={"mixed_precision": "no"})
    fitting = Fitting(model, lambda epoch: separable(), loss_from_settings(settings, torch.tensor([32, 32])), score)
    checkpoint = CheckpointFile(folder / "run.safetensors", {"run": 1})
    accelerator = accelerator_from_settings(settings, torch.device("cpu"))
    return fit(fitting, settings, accelerator, checkpoint, state or RunState(), heard or Silent())


def test_fit_learns_moves_only_what_trains_and_tells_each_epoch(tmp_path):
    model, heard = Linear(), Heard()
    frozen = model.frozen.weight.clone()
    history = fitted(model, TrainSettings(epochs=3, learning_rate=0.5), tmp_path, scores=(0.1, 0.2, 0.3), heard=heard)
    assert [record.epoch for record in history] == [1, 2, 3]
    assert [record.val_macro_f1 for record in history] == [0.1, 0.2, 0.3]
    assert history[2].loss < 0.7 * history[0].loss
    assert torch.equal(model.frozen.weight, frozen)
    assert heard.lines[0].startswith(
        f"epoch 1/3: training loss {history[0].loss:.3f}, validation loss 1.000 and macro-F1"
    )
    assert [record.learning_rate for record in history][-1] < 0.1 * history[0].learning_rate


def test_the_weights_of_the_first_best_epoch_are_kept(tmp_path):
    settings = TrainSettings(epochs=4, learning_rate=0.5, warmup_fraction=0.0)
    model = Linear()
    history = fitted(model, settings, tmp_path, scores=(0.2, 0.6, 0.6, 0.1))
    assert best_epoch(history) == 2
    tensors = CheckpointFile(tmp_path / "run.safetensors", {"run": 1}).read().tensors
    assert torch.equal(model.head.weight, tensors["best/head.weight"])
    assert not torch.equal(model.head.weight, tensors["weights/head.weight"])


def test_training_ends_when_patience_does(tmp_path):
    settings = TrainSettings(epochs=9, patience=2)
    history = fitted(Linear(), settings, tmp_path, scores=(0.3, 0.5, 0.5, 0.4, 0.9))
    assert len(history) == 4
    assert best_epoch(history) == 2


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    settings = TrainSettings(epochs=4, learning_rate=0.3)
    scores = (0.1, 0.4, 0.2, 0.3)
    whole, half = Linear(), Linear()
    (tmp_path / "whole").mkdir()
    history = fitted(whole, settings, tmp_path / "whole", scores=scores)

    class Killed(Exception):
        pass

    class KilledAfterTwo(Heard):
        def say(self, text):
            super().say(text)
            if len(self.lines) == 2:
                raise Killed

    with pytest.raises(Killed):
        fitted(half, settings, tmp_path, scores=scores, heard=KilledAfterTwo())
    state = CheckpointFile(tmp_path / "run.safetensors", {"run": 1}).read()
    assert [record.epoch for record in state.history] == [1, 2]
    resumed = Linear()
    assert fitted(resumed, settings, tmp_path, scores=scores[2:], state=state) == history
    assert torch.equal(resumed.head.weight, whole.head.weight)
    assert torch.equal(resumed.head.bias, whole.head.bias)


def test_the_state_of_another_run_is_refused_and_told_apart(tmp_path):
    mine = {"run": 1, "frames": "a" * 64, "epochs": 3}
    path = tmp_path / "run.safetensors"
    CheckpointFile(path, mine).write(RunState(seconds=1.5, peak_memory_bytes=7))
    assert CheckpointFile(path, mine).read() == RunState(seconds=1.5, peak_memory_bytes=7)
    with pytest.raises(ArtifactError, match="is another: it had other frames; run was 1, now 2 →"):
        CheckpointFile(path, {**mine, "run": 2, "frames": "b" * 64}).read()


def test_accumulated_batches_take_one_step(tmp_path):
    """Two batches of 16 per step are one of 32, up to rounding, and the last step's 16 and 4 are one of 20."""
    torch.manual_seed(0)
    one, two = Linear(), Linear()
    settings = TrainSettings(epochs=1, learning_rate=0.1, warmup_fraction=0.0)
    loss = loss_from_settings(settings, torch.tensor([32, 32]))
    for model, batches, accumulate in ((one, separable(52, 32), 1), (two, separable(52, 16), 2)):
        own = settings.model_copy(update={"accumulate": accumulate, "mixed_precision": "no"})
        fit(
            Fitting(model, lambda epoch, batches=batches: batches, loss, lambda: Validation(0.5, 1.0)),
            own,
            accelerator_from_settings(own, torch.device("cpu")),
            CheckpointFile(tmp_path / f"{accumulate}.safetensors", {"run": 1}),
            RunState(),
            Silent(),
        )
    assert torch.allclose(one.head.weight, two.head.weight, atol=1e-6)


def test_the_loss_told_is_the_mean_over_frames(tmp_path):
    """The short last batch must not count like a whole one."""
    settings = TrainSettings(epochs=1, learning_rate=1e-12)
    batches = separable(20, 16)
    loss = loss_from_settings(settings, torch.tensor([32, 32]))
    own = settings.model_copy(update={"mixed_precision": "no"})
    model = Linear()
    with torch.no_grad():
        expected = torch.cat([loss(model(batch.pixels), batch.labels) for batch in batches]).mean()
    history = fit(
        Fitting(model, lambda epoch: batches, loss, lambda: Validation(0.5, 1.0)),
        own,
        accelerator_from_settings(own, torch.device("cpu")),
        CheckpointFile(tmp_path / "run.safetensors", {"run": 1}),
        RunState(),
        Silent(),
    )
    assert history[0].loss == pytest.approx(expected.item(), rel=1e-6)


def test_a_loss_that_is_no_number_ends_the_run_with_a_lower_rate_to_try(tmp_path):
    model = Linear()
    with torch.no_grad():
        model.head.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="the loss became nan in epoch 1") as caught:
        fitted(model, TrainSettings(epochs=3, learning_rate=0.1), tmp_path)
    assert caught.value.fix == "--learning-rate 0.01"


# --- the loss

COUNTS = torch.tensor([60, 30, 10])


def test_class_weights_have_mean_one_over_the_training_part():
    logits, labels = torch.zeros(100, 3), torch.repeat_interleave(torch.arange(3), COUNTS)
    plain = loss_from_settings(TrainSettings(), COUNTS)(logits, labels).mean()
    weighted = loss_from_settings(TrainSettings(balance="weights"), COUNTS)(logits, labels).mean()
    assert weighted.item() == pytest.approx(plain.item(), rel=1e-6)
    rare = loss_from_settings(TrainSettings(balance="weights"), COUNTS)(logits[:1], torch.tensor([2]))
    assert rare.item() == pytest.approx(plain.item() * 100 / (3 * 10), rel=1e-6)


def test_adjusted_logits_ask_for_more_where_a_class_is_rare():
    """Equal bare logits must lose where the class is rare: the loss is then -log of its frequency."""
    loss = loss_from_settings(TrainSettings(balance="logit-adjustment"), COUNTS)
    for label, frequency in enumerate((0.6, 0.3, 0.1)):
        value = loss(torch.zeros(1, 3), torch.tensor([label])).item()
        assert value == pytest.approx(-np.log(frequency), rel=1e-6)


def test_label_smoothing_is_that_of_torch():
    logits, labels = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([0])
    expected = nn.CrossEntropyLoss(label_smoothing=0.1)(logits, labels)
    assert loss_from_settings(TrainSettings(label_smoothing=0.1), COUNTS)(logits, labels).item() == expected.item()


# --- the engine


@pytest.mark.parametrize(
    ("flags", "native"),
    [("flags : fpu avx512_bf16 avx2", True), ("Features : fp asimd bf16", True), ("flags : avx2 avx512f", False)],
)
def test_bf16_is_used_where_the_processor_has_it(tmp_path, flags, native):
    (tmp_path / "cpuinfo").write_text(flags)
    assert cpu_computes_bf16(tmp_path / "cpuinfo") is native
    assert cpu_computes_bf16(tmp_path / "absent") is False


def test_auto_precision_is_resolved_and_others_are_kept():
    cpu = torch.device("cpu")
    assert resolved_settings(TrainSettings(), cpu).mixed_precision in ("no", "bf16")
    assert resolved_settings(TrainSettings(mixed_precision="no"), cpu).mixed_precision == "no"


def test_the_schedule_warms_up_then_falls_as_a_cosine():
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0, abs=1e-12)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert learning_rate_factor(0, 1, 0.0) == 1.0


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_valid(name):
    content = read_recipe(name)
    content.pop("dataset", None)
    assert TrainSettings.model_validate(content).learning_rate


def test_a_recipe_may_be_a_file(tmp_path):
    (tmp_path / "mine.toml").write_text("rank = 3\n")
    assert read_recipe(str(tmp_path / "mine.toml")) == {"rank": 3}
