"""Classifiers other than ConvNeXt-V2, and what they expect of their input."""

from __future__ import annotations

import pytest
import timm
import torch
from networks import RANK_2, answers
from safetensors.torch import load_file

from gi_edge.errors import ModelError
from gi_edge.modeling.architecture import BASELINES, EMBEDDED, classifier_name, create_model, preprocess_of
from gi_edge.modeling.backbone import load_backbone
from gi_edge.modeling.methods import (
    check_request,
    prepare_model,
    save_trained,
    weight_counts,
)
from gi_edge.modeling.options import LoraOptions, ModelRequest
from gi_edge.progress import Silent


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("method", ["full", "probe"])
def test_baselines_train_in_full_and_by_probe(name, method, tmp_path):
    torch.manual_seed(0)
    model = create_model(name, 4)
    whole = sum(parameter.numel() for parameter in model.parameters())
    torch.save(model.state_dict(), tmp_path / "w.pth")
    lora = LoraOptions(rank=1, alpha=1)
    request = ModelRequest(backbone=name, weights=tmp_path / "w.pth", method=method, lora=lora)
    assert check_request(request, image_size_px=224, fit="pad").size_px == 224
    prepared = prepare_model(request, num_classes=3, progress=Silent())
    classifier = prepared.model.get_submodule(classifier_name(prepared.model))
    head = sum(parameter.numel() for parameter in classifier.parameters())
    assert "Meta" not in prepared.info.licence
    trained, total = weight_counts(prepared.model)
    assert total == whole - head // 3
    assert trained == (total if method == "full" else head)
    save_trained(prepared.model, method, tmp_path)
    plain = timm.create_model(name, num_classes=3)
    if method == "full":
        plain.load_state_dict(load_file(tmp_path / "model.safetensors"))
        assert torch.equal(answers(plain.eval(), 224), answers(prepared.model.eval(), 224))
    else:
        state = load_file(tmp_path / "classifier.safetensors")
        assert set(state) == {f"{classifier_name(plain)}.weight", f"{classifier_name(plain)}.bias"}
        assert (tmp_path / "classifier.safetensors").stat().st_size < 4 * head + 500


def test_pixels_are_normalised_as_the_weights_expect():
    vit = preprocess_of("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 224, "pad")
    assert (vit.mean, vit.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    tiny_size = preprocess_of("convnextv2_tiny.fcmae_ft_in22k_in1k", 320, "crop")
    assert (tiny_size.mean, tiny_size.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (tiny_size.interpolation, tiny_size.fit, tiny_size.size_px) == ("bicubic", "crop", 320)


def test_a_fixed_image_size_is_honoured(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"")
    request = ModelRequest(backbone=BASELINES[-1], weights=tmp_path / "w.pth", method="full", lora=RANK_2)
    with pytest.raises(ModelError, match="takes images of 224 px only, not 256") as caught:
        check_request(request, image_size_px=256, fit="pad")
    assert caught.value.fix == "--image-size 224"


def test_models_that_do_not_end_in_one_classifier_are_refused():
    with torch.device("meta"), pytest.raises(ModelError, match="does not end in one linear classifier"):
        create_model("deit_tiny_distilled_patch16_224", 3)


def test_stochastic_depth_is_off_unless_asked_for():
    def rates(model):
        return [module.drop_prob for module in model.modules() if type(module).__name__ == "DropPath"]

    with torch.device("meta"):
        assert rates(timm.create_model(BASELINES[-1]))  # timm's own default drops
        assert not any(rates(create_model(BASELINES[-1], 3)))
        assert max(rates(create_model(BASELINES[-1], 3, 0.2))) == pytest.approx(0.2)
        with pytest.raises(ModelError, match="densenet121 has no blocks to drop"):
            create_model("densenet121", 3, 0.1)


def test_the_identity_of_known_weights_stays():
    backbone = load_backbone(EMBEDDED, None, num_classes=3, progress=Silent())
    assert backbone.info.weights_sha256 == "b06cff335aecdcfe7b298d4a000b44344795ac317715b9f2e97e979fd1399a27"
