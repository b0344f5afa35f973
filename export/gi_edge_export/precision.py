"""Half precision by construction: the graph itself says which parts are fp16 and which stay fp32."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import cast

import torch
from timm.layers import LayerNorm2d
from timm.layers.grn import GlobalResponseNorm
from torch import Tensor, nn
from torch.nn import functional

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.modeling.pixels import PixelClassifier
from gi_edge_export.graph import check_graph_precision

__all__ = ["check_graph_precision", "half_from_model"]


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


def _children(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for parent in module.modules():
        for name, child in parent.named_children():
            yield parent, name, child
