"""The blocks of ConvNeXt-V2 in a form that trains faster on a CPU: the same function, fewer passes over memory.

timm's blocks and peft's layers are right and general; on a CPU they are bound by memory. Here a block works on
[n, height, width, channels] throughout, adds the low-rank product of LoRA into the output of the frozen product
instead of beside it, keeps one wide tensor for the backward pass instead of several, and uses that the depthwise
convolution is frozen. Parameters stay where they are: only the forward pass of a block is exchanged, and only for
training steps. Scores come from the plain model.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import peft.tuners.lora as peft_lora
import torch
from timm.layers import GELU, LayerNorm, LayerNorm2d
from timm.layers.mlp import GlobalResponseNormMlp
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn
from torch.nn import functional

from gi_edge_training.fused_functions import Constants, FrozenDepthwise, FusedMlp, Weights, depthwise


@dataclass(frozen=True)
class _Pointwise:
    """A linear layer or 1×1 convolution, with or without LoRA."""

    base: nn.Linear | nn.Conv2d
    down: nn.Linear | nn.Conv2d | None = None
    up: nn.Linear | nn.Conv2d | None = None
    scaling: float = 0.0

    def weights(self, dtype: torch.dtype, casts: _Casts) -> Weights:
        """Return weight [out, in], bias [out], A [rank, in] and B [out, rank] in dtype; None where there is none."""
        parts = (None if part is None else part.weight.flatten(1) for part in (self.base, self.down, self.up))
        weight, down, up = (casts.of(part, dtype) for part in parts)
        return weight, casts.of(self.base.bias, dtype), down, up


class _Casts:
    """Tensors in the computing precision. Those of frozen weights are kept, since they stay the same."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, torch.dtype], Tensor] = {}

    def of(self, tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """Return the tensor in dtype; gradients flow through where it needs them."""
        if tensor is None or tensor.dtype == dtype:
            return tensor
        if tensor.requires_grad:
            return tensor.to(dtype)
        key = tensor.data_ptr(), dtype
        if key not in self._kept:
            self._kept[key] = tensor.to(dtype)
        return self._kept[key]


@contextmanager
def fused_blocks(model: nn.Module) -> Iterator[int]:
    """Exchange the forward pass of every block that allows it, until the end; yields how many were.

    A block stays as it is if its LoRA layers have dropout, DoRA or several adapters, or if it is another block than
    that of ConvNeXt-V2. Frozen weights must not change meanwhile.
    """
    found = ((module, _forward_of(module)) for module in model.modules() if isinstance(module, ConvNeXtBlock))
    fused = [(block, forward) for block, forward in found if forward is not None]
    for block, forward in fused:
        block.forward = types.MethodType(forward, block)
    try:
        yield len(fused)
    finally:
        for block, _ in fused:
            del block.forward


def _forward_of(block: ConvNeXtBlock) -> Callable[[ConvNeXtBlock, Tensor], Tensor] | None:
    if not _is_plain(block):
        return None
    first, second = _pointwise(block.mlp.fc1), _pointwise(block.mlp.fc2)
    if first is None or second is None:
        return None
    casts = _Casts()
    constants = Constants(first.scaling, second.scaling, block.mlp.grn.eps)

    def forward(self: ConvNeXtBlock, x: Tensor) -> Tensor:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        with torch.autocast(device, enabled=False):
            y = _depthwise(x.to(dtype, memory_format=torch.channels_last), self.conv_dw, casts).permute(0, 2, 3, 1)
            scale, shift = casts.of(self.norm.weight, dtype), casts.of(self.norm.bias, dtype)
            y = functional.layer_norm(y, (y.shape[-1],), scale, shift, self.norm.eps)
            grn = self.mlp.grn
            weights = (*first.weights(dtype, casts), *second.weights(dtype, casts))
            y = FusedMlp.apply(y, constants, grn.weight.flatten(), grn.bias.flatten(), *weights)
            out: Tensor = x.permute(0, 2, 3, 1) + self.drop_path(y)
            return out.permute(0, 3, 1, 2)

    return forward


def _is_plain(block: ConvNeXtBlock) -> bool:
    mlp, conv = block.mlp, block.conv_dw
    return (
        isinstance(mlp, GlobalResponseNormMlp)
        and isinstance(mlp.act, GELU | nn.GELU)
        and getattr(mlp.act, "approximate", "none") == "none"
        and mlp.drop1.p == mlp.drop2.p == 0
        and isinstance(block.norm, LayerNorm | LayerNorm2d)
        and isinstance(block.shortcut, nn.Identity)
        and block.gamma is None
        and conv.stride == (1, 1)
        and conv.dilation == (1, 1)
        and all(2 * pad == size - 1 for pad, size in zip(conv.padding, conv.kernel_size, strict=True))
    )


def _pointwise(layer: nn.Module) -> _Pointwise | None:
    if not isinstance(layer, peft_lora.LoraLayer):
        return _Pointwise(layer) if isinstance(layer, nn.Linear | nn.Conv2d) else None
    names = layer.active_adapters
    base = layer.get_base_layer()
    if len(names) != 1 or layer.merged or layer.disable_adapters or not isinstance(base, nn.Linear | nn.Conv2d):
        return None
    (name,) = names
    if name in layer.lora_variant or layer.lora_bias[name] or not isinstance(layer.lora_dropout[name], nn.Identity):
        return None
    return _Pointwise(base, layer.lora_A[name], layer.lora_B[name], float(layer.scaling[name]))


def _depthwise(x: Tensor, conv: nn.Conv2d, casts: _Casts) -> Tensor:
    weight, bias = casts.of(conv.weight, x.dtype), casts.of(conv.bias, x.dtype)
    trains = conv.weight.requires_grad or (conv.bias is not None and conv.bias.requires_grad)
    result: Tensor = depthwise(x, weight, bias) if trains else FrozenDepthwise.apply(x, weight, bias)
    return result
