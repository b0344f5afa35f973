"""From a merged timm classifier to the network that is exported."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from timm.layers import GELU, LayerNorm2d
from timm.layers.grn import GlobalResponseNorm
from torch import nn

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import GateError
from gi_edge.metrics.parity import Precision
from gi_edge_export.config import InputForm
from gi_edge_export.folds import (
    Affine,
    affine_of,
    matrix_from_convolution,
    with_grn_bias,
    with_norm,
    with_pixels,
)
from gi_edge_export.generic import ScaledClassifier
from gi_edge_export.network import BareNorm, Block, DeployedConvNeXt, GrnScale, Head, Reduce, Stage, Stem, StemNorm

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def deployed_from_model(
    model: nn.Module, spec: PreprocessSpec, precision: Precision = "fp32", input_form: InputForm = "uint8"
) -> nn.Module:
    """Return the network to export: pixels, or float images, in; fp32 logits out. The model given stays as it was.

    A ConvNeXt-V2 is rewritten (see folds); of any other classifier the input scaling is folded as far as it is exact.
    In fp16 and bf16, matrices and what lies between them are half; norms, GRN, pooling and logits are computed wide.

    Raises: GateError if a weight is too large for the precision.
    """
    network = untyped_from_model(model, spec, input_form, centred=precision != "fp32")
    return _typed(network, DTYPES[precision], precision).eval()


def untyped_from_model(model: nn.Module, spec: PreprocessSpec, input_form: InputForm, *, centred: bool) -> nn.Module:
    """Return the network to export before it is given its precision: all in fp32."""
    if is_convnext_v2(model):
        return exact_from_model(model, spec, input_form, centred=centred).float()
    return ScaledClassifier(copy.deepcopy(model).float(), spec, input_form).eval()


def is_convnext_v2(model: nn.Module) -> bool:
    """Return whether a model is built exactly as the rewrites assume: any timm ConvNeXt-V2 is."""
    try:
        stem, norm = cast(Any, model).stem
        stages, head = cast(Any, model).stages, cast(Any, model).head
        reduces = [stage.downsample for stage in stages if not isinstance(stage.downsample, nn.Identity)]
        blocks = [block for stage in stages for block in stage.blocks]
        return (
            _is_patch(stem)
            and all(_is_norm(item) for item in (norm, head.norm, *(reduce[0] for reduce in reduces)))
            and all(_is_patch(reduce[1]) for reduce in reduces)
            and all(_is_block(block) for block in blocks)
            and isinstance(head.fc, nn.Linear)
            and isinstance(head.pre_logits, nn.Identity)
            and head.global_pool.pool_type == "avg"
            and isinstance(cast(Any, model).norm_pre, nn.Identity)
        )
    except (AttributeError, TypeError, ValueError, IndexError):
        return False


def exact_from_model(
    model: nn.Module, spec: PreprocessSpec, input_form: InputForm, *, centred: bool
) -> DeployedConvNeXt:
    """Return a ConvNeXt-V2 rewritten in float64.

    centred: pixels lose their rounded mean before the stem, which keeps them exact in half precision and leaves no
    large bias to cancel what they sum to; otherwise the stem takes them as they are.
    """
    source = cast(Any, model)
    stem, norm = source.stem
    affine, centre = affine_of(stem), None
    if input_form == "uint8":
        offset = torch.tensor([round(255.0 * value) for value in spec.mean], dtype=torch.float64) * centred
        affine, centre = with_pixels(affine, spec, offset), offset if centred else None
    side = spec.size_px // stem.stride[0]
    stages = []
    for stage in source.stages:
        downsample: nn.Module = nn.Identity()
        if not isinstance(stage.downsample, nn.Identity):
            before, convolution = stage.downsample
            side //= convolution.stride[0]
            folded = _as_matrix(with_norm(affine_of(convolution), before))
            downsample = Reduce(BareNorm(before.eps), _linear(folded), convolution.stride[0])
        stages.append(Stage(downsample, [_block(block, side * side) for block in stage.blocks]))
    head = Head(BareNorm(source.head.norm.eps), _linear(with_norm(affine_of(source.head.fc), source.head.norm)))
    return DeployedConvNeXt(
        Stem(_linear(_as_matrix(affine)), StemNorm(norm), stem.stride[0]), stages, head, centre
    ).eval()


def _block(block: Any, positions: int) -> Block:  # noqa: ANN401
    convolution = copy.deepcopy(block.conv_dw).double()
    fc1 = with_norm(_flat(affine_of(block.mlp.fc1)), block.norm)
    fc2 = with_grn_bias(_flat(affine_of(block.mlp.fc2)), block.mlp.grn.bias)
    grn = GrnScale(block.mlp.grn.weight, block.mlp.grn.eps, positions)
    return Block(convolution, BareNorm(block.norm.eps), _linear(fc1), grn, _linear(fc2))


def _typed(network: nn.Module, dtype: torch.dtype, precision: Precision) -> nn.Module:
    if dtype == torch.float32:
        return network
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.to(dtype)
            if not all(bool(torch.isfinite(item).all()) for item in layer.parameters()):
                raise GateError(
                    f"a weight of '{name}' is too large for {precision}",
                    fix="export without this precision, or train with weight decay",
                )
    if isinstance(network, ScaledClassifier):
        network.make_half(dtype)
    return network


def _as_matrix(affine: Affine) -> Affine:
    return matrix_from_convolution(affine[0]), affine[1]


def _flat(affine: Affine) -> Affine:
    return affine[0].flatten(1), affine[1]


def _linear(affine: Affine) -> nn.Linear:
    weight, bias = affine
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight.contiguous()), nn.Parameter(bias)
    return layer


def _is_patch(layer: object) -> bool:
    return (
        type(layer) is nn.Conv2d
        and layer.kernel_size == layer.stride
        and layer.kernel_size[0] == layer.kernel_size[1]
        and layer.padding == (0, 0)
        and layer.groups == 1
        and layer.dilation == (1, 1)
    )


def _is_norm(layer: object) -> bool:
    return isinstance(layer, nn.LayerNorm) and layer.weight is not None and layer.bias is not None


def _is_block(block: Any) -> bool:  # noqa: ANN401
    fc1, fc2 = block.mlp.fc1, block.mlp.fc2
    pointwise = all(isinstance(layer, nn.Linear) or tuple(layer.kernel_size) == (1, 1) for layer in (fc1, fc2))
    return (
        type(block.conv_dw) is nn.Conv2d
        and _is_norm(block.norm)
        and isinstance(block.norm, LayerNorm2d) == isinstance(fc1, nn.Conv2d)
        and pointwise
        and isinstance(block.mlp.grn, GlobalResponseNorm)
        and isinstance(block.mlp.act, nn.GELU | GELU)
        and getattr(block.mlp.act, "approximate", "none") == "none"
        and block.gamma is None
        and isinstance(block.shortcut, nn.Identity)
    )
