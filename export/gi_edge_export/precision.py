"""Half precision by construction: the graph itself says which parts are fp16 and which stay fp32."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import cast

import onnx
import torch
from onnx import TensorProto
from timm.layers import LayerNorm2d
from timm.layers.grn import GlobalResponseNorm
from torch import Tensor, nn
from torch.nn import functional

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import GateError
from gi_edge.metrics.parity import Precision
from gi_edge.modeling.pixels import PixelClassifier

_MATRIX_OPS = ("Conv", "Gemm", "MatMul")
_REDUCTIONS = ("LayerNormalization", "ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare", "GlobalAveragePool")


class _WideNorm(nn.Module):
    """LayerNorm over the channels of [n, c, h, w] or [n, h, w, c], computed in fp32 whatever comes in."""

    def __init__(self, norm: nn.LayerNorm, channels_first: bool) -> None:
        super().__init__()
        self.norm = norm
        self.channels_first = channels_first

    def forward(self, x: Tensor) -> Tensor:
        wide = x.permute(0, 2, 3, 1).float() if self.channels_first else x.float()
        wide = functional.layer_norm(wide, self.norm.normalized_shape, self.norm.weight, self.norm.bias, self.norm.eps)
        return (wide.permute(0, 3, 1, 2) if self.channels_first else wide).to(x.dtype)


class _WideGrn(nn.Module):
    """Global response normalisation whose sum over H×W is fp32: in fp16 it passes 65,504 at an RMS of 4.6.

    Equal to timm's: x + weight·x·n + bias, as x·(1 + weight·n) + bias (Woo et al. 2023, section 3.2).
    """

    def __init__(self, grn: GlobalResponseNorm) -> None:
        super().__init__()
        self.eps: float = grn.eps
        self.spatial: tuple[int, int] = grn.spatial_dim
        self.channel: int = grn.channel_dim
        self.weight = nn.Parameter(grn.weight.detach().float().reshape(grn.wb_shape))
        self.bias = nn.Parameter(grn.bias.detach().float().reshape(grn.wb_shape))

    def forward(self, x: Tensor) -> Tensor:
        energy = x.float().square().sum(dim=self.spatial, keepdim=True).sqrt()
        scale = 1 + self.weight * (energy / (energy.mean(dim=self.channel, keepdim=True) + self.eps))
        return x * scale.to(x.dtype) + self.bias.to(x.dtype)


class _WidePool(nn.Module):
    """Mean over H×W of [n, c, h, w], summed in fp32."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean(dim=(2, 3), keepdim=True).to(x.dtype)


def half_from_model(model: nn.Module, spec: PreprocessSpec) -> PixelClassifier:
    """Return the deployed classifier in fp16, its GRN, LayerNorm and pooling sums in fp32.

    The model given, a merged ConvNeXt-V2 in fp32, is left as it was.
    """
    half = copy.deepcopy(model)
    for parent, name, child in list(_children(half)):
        if isinstance(child, GlobalResponseNorm):
            setattr(parent, name, _WideGrn(child))
        elif isinstance(child, nn.LayerNorm):
            setattr(parent, name, _WideNorm(child, channels_first=isinstance(child, LayerNorm2d)))
    cast(nn.Module, half.head).global_pool = _WidePool()
    wide = {id(part) for item in half.modules() if isinstance(item, _WideNorm | _WideGrn) for part in item.modules()}
    for module in half.modules():
        if id(module) not in wide:
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.half()
    return PixelClassifier(half, spec, torch.float16).eval()


def check_graph_precision(graph: onnx.ModelProto, precision: Precision) -> None:
    """Prove from the types in the graph that matrices are in the precision asked for and sums in fp32.

    Raises: GateError naming the first operator that is not.
    """
    wanted = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16}[precision]
    types = _types_of(onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True))
    matrices = 0
    for node in graph.graph.node:
        found = types.get(node.input[0]) if node.input else None
        expected = wanted if node.op_type in _MATRIX_OPS else TensorProto.FLOAT
        matrices += node.op_type in _MATRIX_OPS
        if node.op_type in (*_MATRIX_OPS, *_REDUCTIONS) and found != expected:
            raise GateError(
                f"{precision} was asked for, but {node.op_type} '{node.name}' computes in "
                f"{TensorProto.DataType.Name(found or 0)}, not {TensorProto.DataType.Name(expected)}",
                fix="this is a defect of gi-edge's export; report it with the model's name",
            )
    if not matrices:
        raise GateError("the graph has no matrix operator at all", fix="export again from the adapter")


def _children(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for parent in module.modules():
        for name, child in parent.named_children():
            yield parent, name, child


def _types_of(graph: onnx.ModelProto) -> dict[str, int]:
    types = {item.name: item.data_type for item in graph.graph.initializer}
    for value in (*graph.graph.input, *graph.graph.value_info, *graph.graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    return types
