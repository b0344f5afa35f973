"""Each method through the whole path: trained, written, read again, evaluated, exported, compared."""

from __future__ import annotations

import contextlib
import io
import json
import re

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from support import write_frames
from torch import nn

from gi_edge.artifacts.adapter import read_adapter
from gi_edge.cli.main import cli
from gi_edge.errors import ModelError
from gi_edge.modeling.architecture import create_model
from gi_edge.modeling.backbone import load_backbone, resolved_name
from gi_edge.modeling.methods import load_trained
from gi_edge.progress import Silent
from gi_edge_export.merge import merged_from_trained
from gi_edge_training.checkpoint import CheckpointFile, RunState
from gi_edge_training.config import TrainSettings
from gi_edge_training.engine import accelerator_from_settings
from gi_edge_training.loader import Batch
from gi_edge_training.loop import Fitting, Validation, fit
from gi_edge_training.loss import loss_from_settings

SMALL = "--image-size 32 --epochs 2 --batch-size 8 --mixed-precision no"
RUNS = {
    "full": "--backbone gi-edge-small --recipe full",
    "probe": "--backbone gi-edge-small --recipe probe",
    "dora": "--backbone gi-edge-small --dora --rslora --stage-ranks 0 1 2 4",
    "resnet": "--backbone resnet10t --weights resnet.pth --recipe full --learning-rate 1e-3",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workspace with one adapter of each kind, on one split."""
    root = tmp_path_factory.mktemp("methods")
    write_frames(root / "data" / "lesions", per_class=16)
    torch.manual_seed(0)
    torch.save(create_model("resnet10t", 5).state_dict(), root / "resnet.pth")
    made = f"train --dataset lesions --split splits/lesions.csv {SMALL}"
    lines = {name: f"{made} {words} --name {name}" for name, words in RUNS.items()}
    told = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, line in {"init": "init", "split": "data split --holdout-fraction 0.3", **lines}.items():
            with contextlib.redirect_stderr(io.StringIO()) as heard, contextlib.redirect_stdout(io.StringIO()):
                cli.main(line.split(), standalone_mode=False)
            told[name] = heard.getvalue()
    return root, told


def adapter_of(trained, name):
    return read_adapter(trained[0] / "adapters" / name)


def test_the_first_line_names_the_method_and_its_count(trained):
    _, told = trained
    assert "full fine-tuning, 498,131 of 498,131 weights train (100.00%)" in told["full"]
    assert "linear probe, 387 of 498,131 weights train (0.08%)" in told["probe"]
    assert re.search(r"rsDoRA r=0/1/2/4, [\d,]+ of [\d,]+ weights train", told["dora"])


@pytest.mark.parametrize("name", RUNS)
def test_the_manifest_says_how_it_was_trained(trained, name):
    manifest = adapter_of(trained, name).manifest
    assert manifest.method == {"resnet": "full", "dora": "lora"}.get(name, name)
    assert manifest.config["recipe"] == {"dora": None, "resnet": "full"}.get(name, name)
    assert ("rank" in manifest.config) == (name == "dora")
    assert manifest.backbone.architecture == ("resnet10t" if name == "resnet" else "gi-edge-small")


@pytest.mark.parametrize("name", RUNS)
def test_a_reloaded_model_scores_what_training_scored(trained, name, gi_edge):
    root, _ = trained
    done = gi_edge("evaluate", "--adapter", name, "--json", "--force", cwd=root)
    assert done.code == 0, done.err
    found = json.loads(done.out)["evaluation"]["overall"]
    assert found == json.loads(adapter_of(trained, name).manifest.evaluation.overall.model_dump_json())


@pytest.mark.parametrize("name", ["full", "probe", "resnet"])
def test_a_reloaded_model_is_plain_and_needs_no_merge(trained, name):
    model = load_trained(adapter_of(trained, name), None, Silent())
    merged = merged_from_trained(model)
    assert type(merged) is type(model)
    state = merged.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_probe_leaves_the_backbone_and_full_fine_tuning_does_not(trained):
    probe, full = (load_trained(adapter_of(trained, name), None, Silent()).state_dict() for name in ("probe", "full"))
    start = load_backbone("gi-edge-small", None, num_classes=3, progress=Silent()).model.state_dict()
    assert {key for key in start if not torch.equal(start[key], probe[key])} == {"head.fc.weight", "head.fc.bias"}
    moved = [key for key in probe if not torch.equal(probe[key], full[key])]
    assert len(moved) > 0.9 * len(probe)
    sizes = {name: adapter_of(trained, name).weights_path.stat().st_size for name in ("probe", "dora", "full")}
    assert sizes["probe"] < 3000 < sizes["dora"] < sizes["full"] / 5


def test_full_weights_load_in_plain_timm_with_their_running_means(trained):
    folder = trained[0] / "adapters" / "resnet"
    state = load_file(folder / "model.safetensors")
    timm.create_model("resnet10t", num_classes=3).load_state_dict(state)
    start = torch.load(trained[0] / "resnet.pth")
    assert not torch.equal(state["bn1.running_mean"], start["bn1.running_mean"])


@pytest.mark.parametrize("name", ["full", "probe", "dora"])
def test_the_code_of_the_card_runs_and_gives_the_model(trained, name, monkeypatch):
    adapter = adapter_of(trained, name)
    monkeypatch.chdir(adapter.path.parent)
    (code,) = re.findall(r"```python\n(.*?)```", (adapter.path / "README.md").read_text(), re.DOTALL)
    expected = load_trained(adapter, None, Silent())
    base = load_trained(adapter_of(trained, "probe"), None, Silent()).state_dict()
    start, _, load = code.partition("# its base weights first")
    names: dict[str, object] = {}
    exec(start, names)
    if load:
        names["model"].load_state_dict(
            {key: value for key, value in base.items() if "head.fc" not in key}, strict=False
        )
        exec(load.partition("\n")[2], names)
    frames = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(names["model"].eval()(frames), expected(frames))


def test_a_model_without_lora_is_exported_without_its_base_weights(trained, gi_edge):
    done = gi_edge("export", "--adapter", "full", "--json", "--force", cwd=trained[0])
    assert done.code == 0, done.err
    assert "unmerged" not in done.err
    assert json.loads(done.out)["backbone"]["architecture"] == "gi-edge-small"


def test_the_comparison_names_each_method(trained, gi_edge):
    done = gi_edge("compare", "full", "probe", "dora", "--json", cwd=trained[0])
    assert done.code == 0, done.err
    rows = json.loads(done.out)["adapters"]
    assert [row["shape"] for row in rows] == ["full fine-tuning", "linear probe", "rsDoRA r=0/1/2/4"]
    assert [row["method"] for row in rows] == ["full", "probe", "lora"]
    table = gi_edge("compare", "full", "probe", cwd=trained[0])
    assert "linear probe" in table.out


def test_weights_of_another_shape_are_refused_when_read(trained, tmp_path):
    adapter = adapter_of(trained, "full")
    manifest = adapter.manifest.model_copy(update={"classes": ("a", "b")})
    wrong = type(adapter)(adapter.path, manifest, adapter.split)
    with pytest.raises(ModelError, match=r"'head\.fc\.weight' has shape \(3, 128\), expected \(2, 128\)"):
        load_trained(wrong, None, Silent())


def test_lora_without_a_place_is_refused_before_a_frame_is_read(trained, gi_edge, monkeypatch):
    def never(*_):
        raise AssertionError("frames were decoded")

    monkeypatch.setattr("gi_edge_training.run.read_training_data", never)
    root, _ = trained
    base = ["train", "--dataset", "lesions", "--name", "x"]
    for words, found in (
        (["--backbone", "resnet10t", "--weights", "resnet.pth"], "resnet10t has no layer whose name matches"),
        (["--backbone", "gi-edge-small", "--targets", r".*\.conv_dw"], "LoRA on it cannot be merged"),
        (["--backbone", "resnet10t"], "no pretrained weights"),
    ):
        done = gi_edge(*base, *words, cwd=root)
        assert done.code == 1
        assert found in done.err.replace("\n", " "), done.err


def test_the_weights_file_of_a_named_architecture_must_be_there(tmp_path):
    with pytest.raises(ModelError, match="there is no weights file"):
        resolved_name("resnet50", tmp_path / "none.pth")
    with pytest.raises(ModelError, match="did you mean 'resnet50'"):
        resolved_name("resnet5O", None)


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, pixels):
        return self.head(self.norm(pixels))


def fitted(model, folder, scores, state=None, stop_after=None):
    """Fit a model with running statistics for four epochs, or be killed after some."""

    class Told(Silent):
        count = 0

        def say(self, text):
            Told.count += 1
            if Told.count == stop_after:
                raise KeyboardInterrupt

    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.normal(3, 2, (64, 4)).astype(np.float32))
    labels = (pixels[:, 0] > 3).long()
    batches = [Batch(*part, counted=16, frames=16) for part in zip(pixels.split(16), labels.split(16), strict=True)]
    settings = TrainSettings(method="full", epochs=4, learning_rate=0.1, mixed_precision="no")
    given = iter(scores)
    loss = loss_from_settings(settings, torch.tensor([32, 32]))
    fitting = Fitting(model, lambda _: batches, loss, lambda: Validation(next(given), 1.0))
    checkpoint = CheckpointFile(folder / "run.safetensors", {"run": 1})
    accelerator = accelerator_from_settings(settings, torch.device("cpu"))
    return fit(fitting, settings, accelerator, checkpoint, state or RunState(), Told())


def test_running_statistics_are_resumed_and_those_of_the_best_epoch_kept(tmp_path):
    scores = (0.1, 0.4, 0.5, 0.3)
    whole, half, resumed = Normed(), Normed(), Normed()
    (tmp_path / "whole").mkdir()
    fitted(whole, tmp_path / "whole", scores)
    with pytest.raises(KeyboardInterrupt):
        fitted(half, tmp_path, scores, stop_after=2)
    fitted(resumed, tmp_path, scores[2:], CheckpointFile(tmp_path / "run.safetensors", {"run": 1}).read())
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
    assert whole.norm.num_batches_tracked == 3 * 4  # of the third epoch, the best one
    assert not torch.equal(whole.norm.running_mean, torch.zeros(4))
