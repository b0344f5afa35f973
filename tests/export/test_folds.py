"""Each rewrite of weights is an identity: checked in float64, on random weights, to 1e-12."""

from __future__ import annotations

import pytest
import timm
import torch
from networks import GENERIC, PIXELS, SPEC, convnext_of, generic_of, relative
from timm.layers import StdConv2d
from timm.layers.grn import GlobalResponseNorm
from timm.models.resnetv2 import ResNetV2
from torch import nn
from torch.nn import functional

from gi_edge.data.preprocess import PreprocessSpec, images_from_pixels
from gi_edge_export import folds
from gi_edge_export.deploy import deployed_from_model, exact_from_model, is_convnext_v2, untyped_from_model
from gi_edge_export.generic import ScaledClassifier, first_convolution
from gi_edge_export.network import DeployedConvNeXt, GrnScale, patches

EXACT = 1e-12


@pytest.fixture(autouse=True)
def in_float64():
    torch.manual_seed(3)
    torch.set_default_dtype(torch.float64)
    with torch.no_grad():
        yield
    torch.set_default_dtype(torch.float32)


def random_norm(channels, eps=1e-6):
    norm = nn.LayerNorm(channels, eps=eps)
    norm.weight.normal_(1, 0.5)
    norm.bias.normal_(0, 0.5)
    return norm


def test_a_norms_affine_goes_into_the_matrix_after_it():
    norm, layer, x = random_norm(12), nn.Linear(12, 20), torch.randn(3, 5, 12)
    weight, bias = folds.with_norm(folds.affine_of(layer), norm)
    bare = functional.layer_norm(x, (12,), None, None, norm.eps)
    assert relative(functional.linear(bare, weight, bias), layer(norm(x))) < EXACT


def test_a_norms_affine_goes_into_an_unpadded_convolution_of_patches():
    norm, layer, x = random_norm(6), nn.Conv2d(6, 9, 2, stride=2), torch.randn(2, 8, 10, 6)
    expected = layer(norm(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    weight, bias = folds.with_norm(folds.affine_of(layer), norm)
    bare = functional.layer_norm(x, (6,), None, None, norm.eps)
    found = functional.linear(patches(bare, 2), folds.matrix_from_convolution(weight), bias)
    assert relative(found, expected) < EXACT


def test_a_padded_convolution_could_not_take_a_shift():
    """Why the depthwise convolutions and the norm of the stem are left alone."""
    layer, x, shift = nn.Conv2d(4, 4, 3, padding=1), torch.randn(1, 4, 6, 6), torch.randn(4)
    expected = layer(x + shift.reshape(1, -1, 1, 1))
    weight, bias = folds.with_input_affine(folds.affine_of(layer), torch.ones(4), shift)
    found = functional.conv2d(x, weight, bias, padding=1)
    assert relative(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1]) < EXACT
    assert relative(found, expected) > 0.01


@pytest.mark.parametrize("last", [True, False])
def test_grn_is_one_factor_and_a_bias_of_the_matrix_after_it(last):
    grn, fc2, x = GlobalResponseNorm(16, channels_last=last), nn.Linear(16, 8), torch.randn(2, 5, 7, 16)
    grn.weight.normal_()
    grn.bias.normal_()
    there = x if last else x.permute(0, 3, 1, 2)
    plain = grn(there) if last else grn(there).permute(0, 2, 3, 1)
    weight, bias = folds.with_grn_bias(folds.affine_of(fc2), grn.bias)
    flat = x.reshape(2, 35, 16)
    found = functional.linear(flat * GrnScale(grn.weight, grn.eps, 35)(flat), weight, bias)
    assert relative(found, fc2(plain).reshape(2, 35, 8)) < EXACT


@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.0), (124.0, 116.0, 104.0)])
def test_mean_std_and_255_go_into_the_stem(centre):
    spec = PreprocessSpec(size_px=32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    stem, pixels = nn.Conv2d(3, 7, 4, stride=4), torch.from_numpy(PIXELS[:, :32, :32]).double()
    scaled = (pixels / 255 - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    offset = torch.tensor(centre)
    weight, bias = folds.with_pixels(folds.affine_of(stem), spec, offset)
    found = functional.linear(patches(pixels - offset, 4), folds.matrix_from_convolution(weight), bias)
    assert relative(found, stem(scaled.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)) < EXACT


@pytest.mark.parametrize("name", ["convnextv2_atto", "convnextv2_tiny"])
@pytest.mark.parametrize("centred", [False, True])
def test_the_whole_network_is_the_same_function(name, centred):
    """timm's own network in float64, 1x1 convolutions or matrices, against all rewrites together."""
    model = convnext_of(name, depths=(2, 1, 2, 1)).double()
    pixels = torch.from_numpy(PIXELS)
    scaled = (pixels.double() / 255 - torch.tensor(SPEC.mean)) / torch.tensor(SPEC.std)
    expected = model(scaled.permute(0, 3, 1, 2))
    exact = exact_from_model(model, SPEC, "uint8", centred=centred)
    assert relative(exact(pixels), expected) < EXACT
    images = exact_from_model(model, SPEC, "float", centred=centred)
    assert relative(images(scaled.permute(0, 3, 1, 2)), expected) < EXACT


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_centred_pixels_lose_nothing_in_half_and_the_stem_less(dtype):
    """Without the centre the stem subtracts two large halves; bfloat16 has eight bits for each."""
    torch.set_default_dtype(torch.float32)
    model = convnext_of("convnextv2_atto")
    exact = untyped_from_model(model, SPEC, "uint8", centred=True)
    pixels = torch.from_numpy(PIXELS // 4 + 90)  # as little contrast as tissue has
    centred = pixels.float() - exact.centre
    assert torch.equal(centred.to(dtype).float(), centred)
    errors = {}
    for kind in (True, False):
        stem = exact_from_model(model, SPEC, "uint8", centred=kind).float().stem.projection
        x = patches(centred if kind else pixels.float(), 4)
        expected = stem(x)
        errors[kind] = (stem.to(dtype)(x.to(dtype)).float() - expected).square().mean().sqrt()
    assert errors[True] < 0.7 * errors[False]


def test_missing_biases_are_zeros():
    weight, bias = folds.affine_of(nn.Conv2d(3, 5, 2, bias=False, dtype=torch.float32))
    assert weight.dtype == bias.dtype == torch.float64
    assert torch.equal(bias, torch.zeros(5))


@pytest.mark.parametrize("name", GENERIC)
@pytest.mark.parametrize("input_form", ["uint8", "float"])
def test_other_classifiers_keep_their_function_with_the_scaling_folded(name, input_form):
    torch.set_default_dtype(torch.float32)
    model = generic_of(name)
    images = torch.from_numpy(images_from_pixels(PIXELS, SPEC))
    expected = model(images)
    assert expected.std(dim=0).min() > 1e-3
    before = {key: value.clone() for key, value in model.state_dict().items()}
    deployed = deployed_from_model(model, SPEC, "fp32", input_form)
    assert relative(deployed(torch.from_numpy(PIXELS) if input_form == "uint8" else images), expected) < 1e-4
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert isinstance(deployed, ScaledClassifier)
    assert first_convolution(model) is not None
    assert (deployed.factor is None) == (input_form == "uint8")
    unpadded = name.startswith("swin")
    assert (deployed.offset is None) == (input_form == "uint8" and unpadded)


def test_only_a_convnext_of_the_expected_form_is_rewritten():
    torch.set_default_dtype(torch.float32)
    assert is_convnext_v2(convnext_of("convnextv2_tiny"))
    assert isinstance(deployed_from_model(convnext_of("convnextv2_atto"), SPEC), DeployedConvNeXt)
    tall = convnext_of("convnextv2_atto")
    tall.stages[1].downsample[1].padding = (1, 1)
    scaled = convnext_of("convnextv2_atto")
    scaled.stages[0].blocks[0].gamma = nn.Parameter(torch.ones(8))
    first = timm.create_model("convnext_atto", num_classes=4, depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))
    for other in (tall, scaled, first, timm.create_model("resnet10t", num_classes=4)):
        assert not is_convnext_v2(other)


def test_a_stem_that_standardises_its_weights_keeps_them():
    torch.set_default_dtype(torch.float32)
    shape = {"layers": (1, 1, 1, 1), "channels": (128, 128, 128, 128), "stem_chs": 32, "conv_layer": StdConv2d}
    model = ResNetV2(**shape, num_classes=4).eval()
    model.default_cfg = {"first_conv": "stem.conv"}
    assert isinstance(model.stem.conv, StdConv2d)
    nn.init.normal_(model.head.fc.weight)
    expected = model(torch.from_numpy(images_from_pixels(PIXELS, SPEC)))
    assert relative(deployed_from_model(model, SPEC, "fp32")(torch.from_numpy(PIXELS)), expected) < 1e-4
