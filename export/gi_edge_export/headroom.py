"""Measure what fp16 would have to hold, block by block, before anything is made half."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from gi_edge.artifacts.headroom import FP16_LARGEST, BlockHeadroom, Headroom
from gi_edge.errors import GateError
from gi_edge_export.network import BareNorm, GrnScale, StemNorm
from gi_edge_export.some_frames import HEADROOM_FRAMES, spread_rows

_BATCH_SIZE = 8


class _Extremes:
    """What has been seen of one block so far."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.grn_squares: float | None = None
        self.grn_rms: float | None = None
        self.norm_squares: float | None = None

    def see(self, name: str, x: Tensor) -> None:
        if x.is_floating_point():
            low, high = torch.aminmax(x)
            # A NaN has no order, so it counts as what it came from: no room at all.
            value = torch.nan_to_num(torch.maximum(-low, high), nan=torch.inf).item()
            self.values[name] = max(value, self.values.get(name, 0.0))

    def see_grn(self, x: Tensor) -> None:
        squares = x.square().sum(dim=1).max().item()
        self.grn_squares = max(squares, self.grn_squares or 0.0)
        self.grn_rms = max((squares / x.shape[1]) ** 0.5, self.grn_rms or 0.0)

    def see_norm(self, x: Tensor, dim: int) -> None:
        squares = (x - x.mean(dim=dim, keepdim=True)).square().sum(dim=dim).max().item()
        self.norm_squares = max(squares, self.norm_squares or 0.0)

    def block(self, name: str) -> BlockHeadroom:
        tensor = max(self.values, key=lambda key: self.values[key])
        if not np.isfinite(self.values[tensor]):
            raise GateError(
                f"{tensor} of {name} is not finite even in fp32", fix="train again with a smaller --learning-rate"
            )
        return BlockHeadroom(
            block=name,
            largest=self.values[tensor],
            tensor=tensor,
            grn_rms=self.grn_rms,
            grn_sum_of_squares=self.grn_squares,
            norm_sum_of_squares=self.norm_squares,
        )


def headroom_from_pixels(network: nn.Module, pixels: NDArray[np.uint8]) -> Headroom:
    """Run pixels [n, size, size, 3] through the untyped network and return its extremes, block by block.

    A block is what holds layers: its own output, and all that its layers take and give, are the tensors that become
    fp16. At most HEADROOM_FRAMES frames, evenly spaced, are run.

    Raises: GateError if an activation is not finite in fp32.
    """
    rows = spread_rows(len(pixels), HEADROOM_FRAMES)
    seen: dict[str, _Extremes] = {}
    hooks = [
        module.register_forward_hook(_hook(seen, name, is_leaf=_is_layer(module)))
        for name, module in network.named_modules()
        if name and (_is_layer(module) or any(_is_layer(child) for child in module.children()))
    ]
    try:
        with torch.inference_mode():
            for start in range(0, len(rows), _BATCH_SIZE):
                network(torch.from_numpy(np.asarray(pixels[rows[start : start + _BATCH_SIZE]])))
    finally:
        for hook in hooks:
            hook.remove()
    blocks = tuple(extremes.block(name) for name, extremes in seen.items() if extremes.values)
    return Headroom(frames=len(rows), size_px=pixels.shape[1], blocks=blocks)


def check_headroom(headroom: Headroom) -> None:
    """Raise GateError naming the first block whose activations fp16 cannot hold."""
    block = headroom.first_overflow
    if block is not None:
        raise GateError(
            f"fp16 overflows at {block.block}: {block.tensor} reaches {block.largest:,.0f}, fp16 holds "
            f"{FP16_LARGEST:,.0f}; no bundle was written",
            fix="export with --bf16, whose range is that of fp32, or without --fp16",
        )


def _is_layer(module: nn.Module) -> bool:
    return not isinstance(module, nn.Identity) and not any(True for _ in module.children())


def _hook(seen: dict[str, _Extremes], name: str, *, is_leaf: bool) -> Callable[[nn.Module, Any, Any], None]:
    parent, _, own = name.rpartition(".")
    block = (parent or name) if is_leaf else name

    def observe(module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        extremes = seen.setdefault(block, _Extremes())
        if is_leaf and inputs and isinstance(inputs[0], Tensor):
            extremes.see(f"input of {own}", inputs[0])
            if isinstance(module, GrnScale):
                extremes.see_grn(inputs[0])
            if isinstance(module, BareNorm | StemNorm | nn.LayerNorm):
                extremes.see_norm(inputs[0], 1 if isinstance(module, LayerNorm2d) else -1)
        if isinstance(output, Tensor):
            extremes.see(own if is_leaf else "its output", output)

    return observe
