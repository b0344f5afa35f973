"""Backbones: loading, recognising, refusing; and what LoRA adds to each size."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from gi_edge.errors import ModelError
from gi_edge.modeling.architecture import EMBEDDED
from gi_edge.modeling.backbone import backbone_of, load_backbone
from gi_edge.modeling.checkpoint import architecture_from_state, read_state, sha256_of_backbone
from gi_edge.modeling.lora import TARGETS, attach_lora, load_adapter, save_adapter
from gi_edge.modeling.methods import weight_counts
from gi_edge.modeling.options import LoraOptions
from gi_edge.progress import Silent

TINY = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}

NO_WEIGHTS = {
    "empty": b"",
    "text": b"hello",
    "html": b"<html></html>",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "zip": b"PK\x03\x04" + bytes(40),
    "pickle of another kind": pickle.dumps(Path("x")),
}


def tiny(seed=0, classes=3, name="convnextv2_atto"):
    torch.manual_seed(seed)
    return timm.create_model(name, num_classes=classes, **TINY)


def load(name, weights=None, classes=3):
    return load_backbone(name, weights, num_classes=classes, progress=Silent())


@pytest.fixture
def atto_file(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "atto.safetensors"
    save_file(timm.create_model("convnextv2_atto", num_classes=10).state_dict(), path)
    return path


def test_a_file_is_loaded_frozen_with_a_fresh_classifier(atto_file):
    backbone = load(None, atto_file)
    assert (backbone.info.architecture, backbone.info.weights) == ("convnextv2_atto", "file:atto.safetensors")
    trained = {name for name, parameter in backbone.model.named_parameters() if parameter.requires_grad}
    assert trained == {"head.fc.weight", "head.fc.bias"}
    assert backbone.model.head.fc.out_features == 3
    state = read_state(atto_file)
    assert torch.equal(
        backbone.model.state_dict()["stages.1.blocks.0.mlp.fc1.weight"], state["stages.1.blocks.0.mlp.fc1.weight"]
    )


def test_the_identity_of_weights_does_not_depend_on_the_file(atto_file, tmp_path):
    state = {name: tensor for name, tensor in read_state(atto_file).items() if not name.startswith("head.fc")}
    torch.save({"model": state}, tmp_path / "same.pth")
    assert load(None, tmp_path / "same.pth").info.weights_sha256 == load(None, atto_file).info.weights_sha256
    state["stem.0.bias"][0] += 1e-3
    torch.save(state, tmp_path / "other.pth")
    assert load(None, tmp_path / "other.pth").info.weights_sha256 != load(None, atto_file).info.weights_sha256


def test_the_published_names_are_understood(atto_file, tmp_path):
    """Meta's checkpoints call the layers downsample_layers, dwconv, pwconv1 and keep 1x1 kernels as matrices."""
    published = {}
    for name, tensor in read_state(atto_file).items():
        name = name.replace("stem.", "downsample_layers.0.").replace("head.fc.", "head.").replace("head.norm.", "norm.")
        name = name.replace(".blocks.", ".").replace("conv_dw", "dwconv").replace("mlp.grn.weight", "grn.gamma")
        name = name.replace("mlp.grn.bias", "grn.beta").replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")
        if ".downsample." in name:
            stage, _, rest = name.removeprefix("stages.").partition(".downsample.")
            name = f"downsample_layers.{stage}.{rest}"
        if "pwconv" in name and tensor.ndim == 4:
            tensor = tensor.flatten(1)
        if ".grn." in name:
            tensor = tensor.reshape(1, 1, 1, -1)
        published[name] = tensor
    torch.save({"model": published}, tmp_path / "published.pth")
    assert load(None, tmp_path / "published.pth").info.weights_sha256 == load(None, atto_file).info.weights_sha256


@pytest.mark.parametrize("name", timm.list_models("convnextv2_*"))
def test_every_size_is_recognised_by_its_shapes(name):
    with torch.device("meta"):
        state = timm.create_model(name, num_classes=2).state_dict()
    assert architecture_from_state(state) == name


def test_weights_of_another_size_name_their_own(atto_file):
    with pytest.raises(ModelError, match="does not fit convnextv2_tiny") as caught:
        load("convnextv2_tiny", atto_file)
    assert caught.value.fix == "--backbone convnextv2_atto"


def test_weights_of_another_family_are_refused(tmp_path):
    save_file(timm.create_model("resnet10t", num_classes=2).state_dict(), tmp_path / "resnet.safetensors")
    with pytest.raises(ModelError, match="none of the ConvNeXt-V2 sizes"):
        load(None, tmp_path / "resnet.safetensors")
    with pytest.raises(ModelError, match="does not fit convnextv2_atto: 'stem"):
        load("convnextv2_atto", tmp_path / "resnet.safetensors")


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04broken"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_files_that_are_no_weights_are_refused(tmp_path, content, suffix):
    (tmp_path / f"w{suffix}").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read as weights"):
        load(None, tmp_path / f"w{suffix}")


def test_weights_with_code_in_them_are_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        load(None, tmp_path / "evil.pth")


def test_weights_with_nan_are_refused(atto_file, tmp_path):
    state = read_state(atto_file)
    state["stem.0.bias"][3] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(ModelError, match=r"'stem\.0\.bias' holds NaN"):
        load(None, tmp_path / "nan.safetensors")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("convnextv2_tinny", "did you mean"),
        ("convnextv2_tiny", "names no pretrained weights"),
        ("convnextv2_atto.fcmae_ft_in1k", "not in the local cache and cannot be downloaded"),
        (None, "not in the local cache and cannot be downloaded"),
    ],
)
def test_names_without_weights_here_say_what_to_do(name, match, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=match) as caught:
        load(name)
    assert "--backbone" in caught.value.fix


def test_a_timm_tag_is_downloaded_by_its_name_with_its_licence(atto_file, monkeypatch):
    asked = []

    def download(repository, file_name):
        asked.append((repository, file_name))
        return str(atto_file)

    monkeypatch.setattr("gi_edge.modeling.backbone.hf_hub_download", download)
    tag = "convnextv2_atto.fcmae_ft_in1k"
    backbone = load(tag)
    assert asked == [("timm/convnextv2_atto.fcmae_ft_in1k", "model.safetensors")]
    assert (backbone.info.weights, backbone.info.licence) == (f"timm:{tag}", "cc-by-nc-4.0")
    assert backbone_of(backbone.info, None, num_classes=3, progress=Silent()).info == backbone.info
    offline = backbone_of(backbone.info, atto_file, num_classes=3, progress=Silent())
    assert offline.info.weights_sha256 == backbone.info.weights_sha256


def test_an_adapter_finds_only_its_own_base_weights(atto_file, tmp_path):
    info = load(None, atto_file).info
    assert backbone_of(info, atto_file, num_classes=3, progress=Silent()).info == info
    with pytest.raises(ModelError, match="needs its base weights, the file 'atto"):
        backbone_of(info, None, num_classes=3, progress=Silent())
    state = read_state(atto_file)
    state["stem.0.bias"][0] += 1
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="not the base weights of the adapter"):
        backbone_of(info, tmp_path / "other.safetensors", num_classes=3, progress=Silent())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
@pytest.mark.parametrize("content", NO_WEIGHTS.values(), ids=NO_WEIGHTS)
def test_a_file_that_holds_no_weights_is_refused_in_our_words(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_state(path)
    form = "whole safetensors file" if suffix == ".safetensors" else "file of plain tensors, or it is damaged"
    assert caught.value.message == f"{path} cannot be read as weights: it is no {form}"
    assert caught.value.fix == "give a .safetensors file, or a .pth, .pt or .bin file of plain tensors: --weights FILE"


@pytest.mark.parametrize(
    ("weights", "trained_on", "fix"),
    [
        ("file:nano.pth", "convnextv2_nano (file:nano.pth)", "--weights FILE, the 'nano.pth' that training used"),
        (
            "timm:convnextv2_nano.fcmae",
            "convnextv2_nano (timm:convnextv2_nano.fcmae)",
            "--weights FILE with the weights of timm/convnextv2_nano.fcmae, or no weights at all",
        ),
        ("embedded", "convnextv2_nano", "leave out --weights"),
    ],
)
def test_weights_of_another_size_than_an_adapter_wants_are_told_with_those_it_wants(
    atto_file, weights, trained_on, fix
):
    info = load(None, atto_file).info.model_copy(update={"architecture": "convnextv2_nano", "weights": weights})
    with pytest.raises(ModelError, match="does not fit convnextv2_nano") as caught:
        backbone_of(info, atto_file, num_classes=3, progress=Silent())
    assert caught.value.message.endswith(f"; the adapter was trained on {trained_on}")
    assert caught.value.fix.startswith(fix)
    assert "--backbone" not in caught.value.fix


def test_the_embedded_backbone_needs_nothing_and_says_its_licence():
    backbone = load(EMBEDDED)
    assert (backbone.info.weights, backbone.info.licence) == ("embedded", "Apache-2.0")
    assert backbone_of(backbone.info, None, num_classes=3, progress=Silent()).info == backbone.info


@pytest.mark.parametrize(
    ("name", "rank", "expected"),
    [
        ("convnextv2_tiny", 16, 1_059_840),  # 66,240 per unit of rank
        ("convnextv2_base", 16, 2_887_680),  # the paper's 2.9 M
    ],
)
def test_lora_adds_the_known_number_of_weights(name, rank, expected):
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=5)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        head = sum(parameter.numel() for parameter in model.head.fc.parameters())
        trained, _ = weight_counts(attach_lora(model, LoraOptions(rank=rank, alpha=32)))
    assert trained - head == expected


@pytest.mark.parametrize("name", ["convnextv2_atto", "convnextv2_tiny"])
def test_lora_reaches_every_fc_layer_as_convolution_or_matrix(name):
    """Small sizes have 1x1 Conv2d for fc1 and fc2, the others Linear; peft's all-linear would miss the former."""
    model = tiny(name=name)
    kind = torch.nn.Conv2d if name == "convnextv2_atto" else torch.nn.Linear
    assert isinstance(model.stages[0].blocks[0].mlp.fc1, kind)
    adapted = attach_lora(model, LoraOptions(rank=2, alpha=4))
    layers = [
        name for name, module in adapted.named_modules() if hasattr(module, "lora_A") and name.endswith(("fc1", "fc2"))
    ]
    assert len(layers) == 8
    assert adapted.peft_config["default"].target_modules == TARGETS


def test_plain_peft_loads_a_saved_adapter(tmp_path):
    import peft

    model = attach_lora(tiny(), LoraOptions(rank=2, alpha=4))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.normal_()
                assert "lora" in name or "head" in name or "base" in name
    save_adapter(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    frames = torch.randn(2, 3, 64, 64)
    again = peft.PeftModel.from_pretrained(tiny(), tmp_path)
    assert torch.equal(model.eval()(frames), again.eval()(frames))
    assert torch.equal(model(frames), load_adapter(tiny(), tmp_path)(frames))
    assert sha256_of_backbone(tiny()) == sha256_of_backbone(tiny())


def test_an_adapter_for_another_backbone_is_refused(tmp_path):
    save_adapter(attach_lora(tiny(), LoraOptions(rank=2, alpha=4)), tmp_path)
    deeper = timm.create_model("convnextv2_atto", num_classes=3, depths=(1, 1, 2, 1), dims=(8, 16, 24, 32))
    wider = timm.create_model("convnextv2_atto", num_classes=3, depths=(1, 1, 1, 1), dims=(8, 16, 24, 48))
    for other in (deeper, wider, tiny(classes=4)):
        with pytest.raises(ModelError, match="is for another backbone|does not fit the backbone"):
            load_adapter(other, tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"target_modules": "("}))
    with pytest.raises(ModelError):
        load_adapter(tiny(), tmp_path)
