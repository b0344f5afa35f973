"""torch.compile changes the speed of training, and nothing else."""

from __future__ import annotations

import shutil

import pytest
import timm
import torch

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import RuntimeUnavailableError
from gi_edge.modeling.lora import attach_lora
from gi_edge.modeling.options import LoraOptions
from gi_edge.modeling.pixels import PixelClassifier
from gi_edge.progress import Silent
from gi_edge_training.checkpoint import CheckpointFile, RunState
from gi_edge_training.config import TrainSettings
from gi_edge_training.engine import accelerator_from_settings
from gi_edge_training.loader import Batch
from gi_edge_training.loop import Fitting, Validation, fit
from gi_edge_training.loss import loss_from_settings

CPU = torch.device("cpu")


def fitted(folder, *, compiled):
    """Train two blocks of ConvNeXt-V2 on two batches, for two epochs; return them and the history."""
    torch.manual_seed(0)
    model = timm.create_model("convnextv2_atto", depths=(1, 0, 0, 1), dims=(8, 8, 8, 8), num_classes=2)
    model.requires_grad_(False)
    model = attach_lora(model, LoraOptions(rank=2, alpha=4))
    classifier = PixelClassifier(model, PreprocessSpec(size_px=32, fit="pad"))
    pixels = torch.randint(0, 256, (10, 32, 32, 3), dtype=torch.uint8)
    labels = torch.arange(10) % 2
    parts = zip(pixels.split(5), labels.split(5), strict=True)
    batches = [Batch(*part, counted=len(part[0]), frames=len(part[0])) for part in parts]
    settings = TrainSettings(epochs=2, learning_rate=0.01, mixed_precision="no", compile=compiled)
    accelerator = accelerator_from_settings(settings, CPU)
    loss = loss_from_settings(settings, torch.tensor([5, 5]))
    fitting = Fitting(classifier, lambda epoch: batches, loss, lambda: Validation(0.5, 1.0))
    checkpoint = CheckpointFile(folder / f"{compiled}.safetensors", {"run": 1})
    return classifier, fit(fitting, settings, accelerator, checkpoint, RunState(), Silent())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_run_has_the_losses_and_the_names_of_a_plain_one(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    plain, history = fitted(tmp_path, compiled=False)
    compiled, same = fitted(tmp_path, compiled=True)
    assert [record.loss for record in same] == pytest.approx([record.loss for record in history], rel=1e-4)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for name, value in compiled.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)
    kept = [
        CheckpointFile(tmp_path / f"{kind}.safetensors", {"run": 1}).read().tensors.keys() for kind in (True, False)
    ]
    assert kept[0] == kept[1]


def test_compile_without_a_compiler_is_refused_before_anything_begins(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeUnavailableError, match="there is no no-such-compiler") as caught:
        accelerator_from_settings(TrainSettings(compile=True, mixed_precision="no"), CPU)
    assert caught.value.fix.startswith("--no-compile, or ")


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(RuntimeUnavailableError, match="fp16 training needs a GPU"):
        accelerator_from_settings(TrainSettings(mixed_precision="fp16"), CPU)
