"""The three methods: which layers they reach, what they leave in place, and that what is saved is what was trained."""

from __future__ import annotations

import copy
import itertools
import json
import re

import peft
import pytest
import timm
import torch
from networks import RANK_2, answers

from gi_edge.errors import ModelError
from gi_edge.modeling.architecture import create_model
from gi_edge.modeling.lora import attach_lora, check_targets, load_adapter, save_adapter
from gi_edge.modeling.methods import (
    enter_training,
    parameter_groups,
    prepare_model,
    weight_counts,
)
from gi_edge.modeling.options import LoraOptions, ModelRequest
from gi_edge.progress import Silent
from gi_edge_export.merge import merged_from_trained

PER_RANK = {  # fc1 and fc2 of each block: 5 + 5 times its width
    "convnextv2_atto": 18_400,
    "convnextv2_femto": 22_080,
    "convnextv2_pico": 29_440,
    "convnextv2_nano": 43_200,
    "convnextv2_tiny": 66_240,
    "convnextv2_small": 135_360,
    "convnextv2_base": 180_480,
    "convnextv2_large": 270_720,
    "convnextv2_huge": 496_320,
}
TINY = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}


def tiny(name="convnextv2_atto"):
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3, **TINY)


def moved(model, scale=0.1):
    """Give everything that trains another value, as training would."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn_like(parameter)
                parameter.mul_(1 + scale * noise) if "magnitude" in name else parameter.add_(scale * noise)
    return model.eval()


def assert_float_error(found, expected):
    assert (found - expected).abs().max() < 2e-5 * expected.abs().max()


# --- every size


def test_the_table_has_every_size_of_timm():
    assert sorted(PER_RANK) == sorted(timm.list_models("convnextv2_*"))


@pytest.mark.parametrize(("name", "expected"), [*PER_RANK.items()])
def test_lora_counts_of_every_size(name, expected):
    with torch.device("meta"):
        model = create_model(name, 5)
        whole, _ = weight_counts(model)
        head = sum(parameter.numel() for parameter in model.head.fc.parameters())
        trained, total = weight_counts(attach_lora(model, LoraOptions(rank=16, alpha=32)))
    assert trained - head == 16 * expected
    assert total == whole + 16 * expected


@pytest.mark.parametrize("name", PER_RANK)
def test_every_size_saves_reloads_in_plain_peft_and_merges(name, tmp_path):
    """At its own widths and one block per stage; huge at a quarter of its widths, for the sake of time."""
    shape = {"depths": (1, 1, 1, 1), **({"dims": (88, 176, 352, 704)} if name == "convnextv2_huge" else {})}
    base = timm.create_model(name, num_classes=3, **shape)
    model = moved(attach_lora(copy.deepcopy(base), RANK_2))
    save_adapter(model, tmp_path)
    again = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    expected = answers(model, 32)
    assert torch.equal(answers(again, 32), expected)
    merged = merged_from_trained(model)
    assert not any("lora" in name for name, _ in merged.named_parameters())
    assert_float_error(answers(merged, 32), expected)


# --- every form of LoRA, on convolutions and matrices

FORMS = {
    "lora": {},
    "rslora": {"rslora": True},
    "dora": {"dora": True},
    "rsdora": {"rslora": True, "dora": True},
    "stages": {"stage_ranks": (1, 2, 3, 4)},
    "some stages": {"stage_ranks": (0, 0, 3, 4), "dora": True},
    "downsampling too": {"targets": r".*(\.mlp\.fc[12]|\.downsample\.1)"},
    "dora, downsampling": {"targets": r".*\.downsample\.1", "dora": True},
}


@pytest.mark.parametrize(("form", "name"), [*itertools.product(FORMS, ("convnextv2_atto", "convnextv2_tiny"))])
def test_every_form_starts_as_the_backbone_reloads_and_merges(form, name, tmp_path):
    options = LoraOptions(rank=2, alpha=4, **FORMS[form])
    model = attach_lora(tiny(name), options).eval()
    assert_float_error(answers(model), answers(tiny(name).eval()))
    expected = answers(moved(model))
    assert (expected - answers(tiny(name).eval())).abs().max() > 0.05
    save_adapter(model, tmp_path)
    assert torch.equal(answers(peft.PeftModel.from_pretrained(tiny(name), tmp_path).eval()), expected)
    assert torch.equal(answers(load_adapter(tiny(name), tmp_path)), expected)
    merged = merged_from_trained(model)
    assert_float_error(answers(merged), expected)
    assert torch.equal(answers(model), expected)  # the one given stays unmerged
    assert list(merged.state_dict()) == list(tiny(name).state_dict())
    assert {parameter.dtype for parameter in merged.parameters()} == {torch.float32}


def test_a_merged_weight_is_rounded_once():
    model = moved(attach_lora(tiny("convnextv2_tiny"), RANK_2))
    layer = model.base_model.model.stages[3].blocks[0].mlp.fc1
    update = layer.lora_B["default"].weight.double() @ layer.lora_A["default"].weight.double()
    exact = (layer.base_layer.weight.double() + 2 * update).float()
    assert torch.equal(merged_from_trained(model).stages[3].blocks[0].mlp.fc1.weight, exact)


def test_a_merge_that_overflows_is_refused():
    model = attach_lora(tiny(), RANK_2)
    with torch.no_grad():
        layer = model.base_model.model.stages[1].blocks[0].mlp.fc2
        layer.lora_A["default"].weight.fill_(10)
        layer.lora_B["default"].weight.fill_(1e38)
    with pytest.raises(ModelError, match=r"'stages\.1\.blocks\.0\.mlp\.fc2\.weight' holds NaN or infinity"):
        merged_from_trained(model)


def test_stages_of_other_rank_are_scaled_as_said():
    for rslora, alpha in ((False, lambda rank: 8 * rank / 4 / rank), (True, lambda rank: 8 / rank**0.5)):
        options = LoraOptions(rank=4, alpha=8, stage_ranks=(1, 2, 4, 16), rslora=rslora)
        stages = attach_lora(tiny(), options).base_model.model.stages
        layers = [stage.blocks[0].mlp.fc2 for stage in stages]
        assert [layer.r["default"] for layer in layers] == [1, 2, 4, 16]
        assert [layer.scaling["default"] for layer in layers] == pytest.approx([alpha(rank) for rank in (1, 2, 4, 16)])


def test_a_stage_of_rank_nought_has_no_lora():
    options = LoraOptions(rank=4, alpha=8, stage_ranks=(0, 2, 0, 2))
    assert {layer.split(".")[1] for layer in check_targets(tiny(), options)} == {"1", "3"}


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("convnextv2_atto", {"targets": r".*\.conv_dw"}, "'stages.0.blocks.0.conv_dw' is a convolution of 40 groups"),
        ("convnextv2_atto", {"targets": r".*\.mlp\.grn"}, "is a GlobalResponseNorm; LoRA is merged into Linear and"),
        ("convnextv2_atto", {"targets": r".*\.mlp"}, "LoRA is merged into Linear and Conv2d only"),
        ("convnextv2_atto", {"targets": r"head\.fc"}, "'head.fc' is the classifier"),
        ("convnextv2_atto", {"targets": "("}, "is no regular expression"),
        ("resnet50", {}, "resnet50 has no layer whose name matches"),
        ("densenet121", {}, "densenet121 has no layer"),
        ("efficientnet_b0", {"targets": r".*\.conv_dw"}, "is a convolution of 32 groups"),
        ("vit_tiny_patch16_224", {"stage_ranks": (1, 1, 1, 1)}, "has no four stages"),
    ],
)
def test_what_cannot_be_merged_is_refused_without_a_weight(name, options, match):
    lora = LoraOptions(rank=2, alpha=4, **options)
    with torch.device("meta"), pytest.raises(ModelError, match=match) as caught:
        check_targets(create_model(name, 3), lora)
    assert "--method full" in caught.value.fix or "--set targets" in caught.value.fix or "--rank" in caught.value.fix


def test_lora_on_other_architectures_merges_too():
    """Swin by its fc1 and fc2, whose stages are called layers; a residual network by layers that are named."""
    for name, size, options in (
        ("swin_tiny_patch4_window7_224", 224, {"stage_ranks": (1, 1, 1, 2)}),
        ("resnet10t", 64, {"targets": r"layer[34].*\.conv[12]", "dora": True}),
    ):
        torch.manual_seed(0)
        model = moved(attach_lora(create_model(name, 3), LoraOptions(rank=2, alpha=4, **options)), 0.02)
        assert_float_error(answers(merged_from_trained(model), size), answers(model, size))


# --- what moves in training


def running_means(model):
    return {name: value.clone() for name, value in model.named_buffers() if name.endswith("running_mean")}


@pytest.mark.parametrize(("method", "moves"), [("full", True), ("probe", False)])
def test_running_statistics_move_with_full_fine_tuning_only(method, moves, tmp_path):
    torch.save(create_model("resnet10t", 3).state_dict(), tmp_path / "w.pth")
    request = ModelRequest(backbone="resnet10t", weights=tmp_path / "w.pth", method=method, lora=RANK_2)
    model = prepare_model(request, num_classes=3, progress=Silent()).model
    before = running_means(model)
    enter_training(model)
    model(torch.randn(4, 3, 64, 64)).sum().backward()
    after = running_means(model)
    assert len(before) > 5
    assert all(torch.equal(before[name], after[name]) is not moves for name in before)
    with_gradient = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradient == ({name for name, _ in model.named_parameters()} if moves else {"fc.weight", "fc.bias"})


def test_frozen_batch_norm_stays_in_place_under_lora():
    model = attach_lora(create_model("resnet10t", 3), LoraOptions(rank=1, alpha=1, targets=r"layer4.*\.conv2"))
    before = running_means(model)
    enter_training(model)
    model(torch.randn(4, 3, 64, 64))
    assert all(torch.equal(value, running_means(model)[name]) for name, value in before.items())
    assert model.base_model.model.layer4[0].conv2.training


def test_only_matrices_and_kernels_decay():
    model = attach_lora(tiny("convnextv2_tiny"), LoraOptions(rank=2, alpha=4, dora=True))
    names = {id(value): name for name, value in model.named_parameters()}
    decayed, fixed = parameter_groups(dict(model.named_parameters()), 0.05)
    assert (decayed["weight_decay"], fixed["weight_decay"]) == (0.05, 0.0)
    assert all(re.search(r"lora_[AB]|head.*weight", names[id(value)]) for value in decayed["params"])
    assert all(re.search(r"magnitude|head.*bias", names[id(value)]) for value in fixed["params"])
    assert len(decayed["params"]) + len(fixed["params"]) == sum(p.requires_grad for p in model.parameters())


def test_a_saved_config_is_plain_json_with_the_patterns(tmp_path):
    save_adapter(attach_lora(tiny(), LoraOptions(rank=4, alpha=8, stage_ranks=(0, 1, 2, 3))), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert sorted(config["rank_pattern"].values()) == [1, 2, 3]
    assert sorted(config["alpha_pattern"].values()) == [2.0, 4.0, 6.0]
