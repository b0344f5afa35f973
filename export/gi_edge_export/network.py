"""ConvNeXt-V2 as it is deployed: channels last, every constant folded, statistics wide whatever the precision.

Woo et al. 2023 (arXiv 2301.00808), rewritten. Tensors are [n, height, width, channels]; matrices run on
[n·height·width, channels], which exports as Gemm with its bias inside.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def wide(x: Tensor) -> Tensor:
    """Return half precision as fp32, anything wider as it is: what a sum of many terms has to be computed in."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a matrix to the last axis of x [n, height, width, channels]."""
    _, height, width, channels = x.shape
    flat = cast(Tensor, layer(x.reshape(-1, channels)))
    return flat.reshape(-1, height, width, flat.shape[-1])


def patches(x: Tensor, size: int) -> Tensor:
    """Gather squares of size x size positions into the channels, [n, h, w, c] → [n, h/size, w/size, size²·c]."""
    _, height, width, channels = x.shape
    rows, columns = height // size, width // size
    split = x.reshape(-1, rows, size, columns, size * channels).permute(0, 1, 3, 2, 4)
    return split.reshape(-1, rows, columns, size * size * channels)


class BareNorm(nn.Module):
    """LayerNorm over the last axis, computed wide; its weight and bias stand in the layer after it."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised, in its own type."""
        return functional.layer_norm(wide(x), (x.shape[-1],), None, None, self.eps).to(x.dtype)


class StemNorm(nn.Module):
    """LayerNorm over the last axis with weight and bias, computed wide.

    A residual stream starts here and meets padded convolutions, so nothing after it could take the bias.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.eps: float = norm.eps
        self.weight = nn.Parameter(norm.weight.detach().double())
        self.bias = nn.Parameter(norm.bias.detach().double())

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised, in its own type."""
        return functional.layer_norm(wide(x), (x.shape[-1],), self.weight, self.bias, self.eps).to(x.dtype)


class GrnScale(nn.Module):
    """Global response normalisation as one factor per channel: x·(1 + γ·n), its bias folded away.

    n is the L2 norm over the positions, divided by its mean over the channels. In half precision the sum of squares
    passes 65,504 at a spatial RMS of 4.6 on 56x56 positions, so the positions are widened before they are squared.
    """

    def __init__(self, weight: Tensor, eps: float, positions: int) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(weight.detach().double().reshape(-1))
        self.register_buffer("ones", torch.ones(1, positions, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return the factors [n, 1, channels] of x [n, positions, channels]."""
        positions = wide(x)
        squares = positions * positions
        if squares.dtype == x.dtype:  # a product is several times faster than ONNX Runtime's reductions on a CPU
            energy = torch.matmul(cast(Tensor, self.ones), squares)
        else:  # half is for GPUs, where widening, squaring and summing can become one kernel that stores nothing wide
            energy = squares.sum(dim=1, keepdim=True)
        norm = energy.sqrt()
        return (1 + self.weight * (norm / (norm.mean(dim=-1, keepdim=True) + self.eps))).to(x.dtype)


class Block(nn.Module):
    """Depthwise 7x7, norm, fc1, GELU, GRN, fc2, and the residual."""

    def __init__(self, conv_dw: nn.Conv2d, norm: BareNorm, fc1: nn.Linear, grn: GrnScale, fc2: nn.Linear) -> None:
        super().__init__()
        self.conv_dw = conv_dw
        self.norm = norm
        self.fc1 = fc1
        self.act = nn.GELU()
        self.grn = grn
        self.fc2 = fc2

    def forward(self, x: Tensor) -> Tensor:
        """[n, height, width, channels] → the same."""
        _, height, width, channels = x.shape
        local = self.norm(self.conv_dw(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        hidden = self.act(self.fc1(local.reshape(-1, channels)))
        positions = hidden.reshape(-1, height * width, hidden.shape[-1])
        scaled = (positions * self.grn(positions)).reshape(-1, hidden.shape[-1])
        return x + cast(Tensor, self.fc2(scaled)).reshape(-1, height, width, channels)


class Reduce(nn.Module):
    """Norm and a 2x2 convolution of stride 2, as a matrix over patches."""

    def __init__(self, norm: BareNorm, projection: nn.Linear, size: int) -> None:
        super().__init__()
        self.norm = norm
        self.projection = projection
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """[n, height, width, channels] → [n, height/size, width/size, outputs]."""
        return linear(self.projection, patches(self.norm(x), self.size))


class Stem(nn.Module):
    """The 4x4 convolution of stride 4 as a matrix over patches, and its norm."""

    def __init__(self, projection: nn.Linear, norm: StemNorm, size: int) -> None:
        super().__init__()
        self.projection = projection
        self.norm = norm
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """[n, height, width, 3] → [n, height/size, width/size, outputs]."""
        return cast(Tensor, self.norm(linear(self.projection, patches(x, self.size))))


class Stage(nn.Module):
    """What reduces the resolution, if anything does, and the blocks."""

    def __init__(self, downsample: nn.Module, blocks: list[Block]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """[n, height, width, channels] → [n, height', width', channels']."""
        return cast(Tensor, self.blocks(self.downsample(x)))


class Pool(nn.Module):
    """Mean over the positions, summed wide."""

    def forward(self, x: Tensor) -> Tensor:
        """[n, height, width, channels] → [n, channels]."""
        return wide(x).mean(dim=(1, 2)).to(x.dtype)


class Head(nn.Module):
    """Mean over the positions, norm, classifier."""

    def __init__(self, norm: BareNorm, fc: nn.Linear) -> None:
        super().__init__()
        self.pool = Pool()
        self.norm = norm
        self.fc = fc

    def forward(self, x: Tensor) -> Tensor:
        """[n, height, width, channels] → logits [n, classes]."""
        return cast(Tensor, self.fc(self.norm(self.pool(x))))


class DeployedConvNeXt(nn.Module):
    """uint8 pixels [n, size, size, 3], or float32 [n, 3, size, size] scaled already → logits [n, classes].

    centre [3] is subtracted from pixels in fp32 before they are made half, and folded into the stem otherwise.
    Logits are fp32, or float64 if the network is.
    """

    centre: Tensor | None

    def __init__(self, stem: Stem, stages: list[Stage], head: Head, centre: Tensor | None) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*stages)
        self.head = head
        self.register_buffer("centre", centre)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        dtype = self.stem.projection.weight.dtype
        if x.dtype == torch.uint8:  # cast before anything else: TensorRT takes the input only so
            x = x.to(torch.float64 if dtype == torch.float64 else torch.float32)
            x = x if self.centre is None else x - self.centre
        else:
            x = x.permute(0, 2, 3, 1)
        return wide(cast(Tensor, self.head(self.stages(self.stem(x.to(dtype))))))
