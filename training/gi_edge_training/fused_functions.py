"""The two autograd functions of a fused ConvNeXt-V2 block. Both are checked against timm and peft in float64."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

Weights = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""Of a pointwise layer: weight [out, in], bias [out], LoRA's A [rank, in] and B [out, rank]."""


class Constants(NamedTuple):
    """Numbers of a block's MLP."""

    scaling1: float
    """LoRA's scale on fc1, alpha / rank."""
    scaling2: float
    eps: float
    """Of GRN."""


class FrozenDepthwise(Function):
    """Depthwise convolution [n, c, h, w] of stride 1 and odd kernel that keeps the size, its weights frozen.

    The gradient of its input is the same convolution with the kernel turned by 180°; nothing need be kept for it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ANN401
        ctx.turned = weight.flip(2, 3)
        return depthwise(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return depthwise(grad.contiguous(memory_format=torch.channels_last), ctx.turned, None), None, None


def depthwise(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return the depthwise convolution of x [n, c, h, w], of stride 1 and equal size, with weight [c, 1, odd, odd]."""
    assert weight is not None
    padding = [size // 2 for size in weight.shape[2:]]
    return functional.conv2d(x, weight, bias, padding=padding, groups=len(weight))


class FusedMlp(Function):
    """fc2(GRN(GELU(fc1(x)))) on x [n, height, width, channels].

    GRN is a·s + β with s = 1 + γ·g / (mean of g over the channels + ε) and g the L2 norm of a over height and width
    (Woo et al. 2023, section 3.2). s [n, wide channels] is computed in fp32 or wider. For the backward pass x and the
    output of fc1 are kept; GELU is computed again, which is cheaper than reading it.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        constants: Constants,
        gamma: Tensor,
        beta: Tensor,
        *weights: Tensor | None,
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        wide, low1 = _linear(rows, cast(Weights, weights[:4]), constants.scaling1)
        active = functional.gelu(wide).view(len(x), -1, wide.shape[-1])
        norm = active.square().sum(1).to(_statistics_dtype(x)).sqrt()
        scale = 1 + gamma * norm / (norm.mean(dim=1, keepdim=True) + constants.eps)
        scaled = _scaled(active, scale, beta)
        out, low2 = _linear(scaled, cast(Weights, weights[4:]), constants.scaling2)
        ctx.constants, ctx.shape = constants, x.shape
        ctx.save_for_backward(rows, wide, low1, low2, norm, gamma, beta, *weights)
        return out.view(*x.shape[:3], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        rows, wide, low1, low2, norm, gamma, beta, *weights = ctx.saved_tensors
        constants: Constants = ctx.constants
        needs = ctx.needs_input_grad
        active = functional.gelu(wide).view(len(norm), -1, norm.shape[1])
        mean = norm.mean(dim=1, keepdim=True) + constants.eps
        scale = 1 + gamma * norm / mean
        scaled = _scaled(active, scale, beta) if needs[8] or needs[10] else None
        layer2 = _LinearBackward(grad.reshape(-1, grad.shape[-1]), weights[4:], constants.scaling2)
        grad_scaled = layer2.of_input().view_as(active)
        grads2 = layer2.of_weights(scaled, low2, needs[8:])
        grad_scale = (grad_scaled * active).sum(1).to(norm.dtype)
        grad_gamma = (grad_scale * norm / mean).sum(0) if needs[2] else None
        grad_beta = grad_scaled.sum((0, 1)).to(beta.dtype) if needs[3] else None
        slope = _slope(gamma * grad_scale, norm, mean)
        grad_active = grad_scaled.mul_(_per_pixel(scale, active)).addcmul_(active, _per_pixel(slope, active))
        layer1 = _LinearBackward(
            torch.ops.aten.gelu_backward(grad_active.view_as(wide), wide), weights[:4], constants.scaling1
        )
        grad_rows = layer1.of_input().view(ctx.shape) if needs[0] else None
        return grad_rows, None, grad_gamma, grad_beta, *layer1.of_weights(rows, low1, needs[4:8]), *grads2


def _statistics_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _per_pixel(values: Tensor, active: Tensor) -> Tensor:
    """Return values [n, channels] as [n, 1, channels] in the precision of active [n, pixels, channels]."""
    return values[:, None].to(active.dtype)


def _scaled(active: Tensor, scale: Tensor, beta: Tensor) -> Tensor:
    """Return active·scale + beta as rows [n·pixels, channels]."""
    out = torch.addcmul(beta.to(active.dtype), active, _per_pixel(scale, active))
    return out.view(-1, active.shape[-1])


def _slope(grad: Tensor, norm: Tensor, mean: Tensor) -> Tensor:
    """Return the factor of active in its gradient through the norm, [n, channels].

    grad: of norm / mean. Where a norm is 0 so is every activation, and the gradient by convention.
    """
    by_norm = grad / mean - (grad * norm).sum(1, keepdim=True) / (norm.shape[1] * mean.square())
    return torch.where(norm > 0, by_norm / norm, torch.zeros_like(norm))


def _linear(x: Tensor, weights: Weights, scaling: float) -> tuple[Tensor, Tensor | None]:
    """Return x [m, in] times the weights [m, out], and the low-rank product x·Aᵀ [m, rank]."""
    weight, bias, down, up = weights
    assert weight is not None
    out = x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())
    if down is None or up is None:
        return out, None
    low = x @ down.t()
    return out.addmm_(low, up.t(), alpha=scaling), low


class _LinearBackward:
    """Gradients of _linear for the gradient of its output [m, out]."""

    def __init__(self, grad: Tensor, weights: Any, scaling: float) -> None:  # noqa: ANN401
        self.grad, self.scaling = grad, scaling
        self.weight, _, self.down, self.up = weights
        self.low = None if self.up is None else (grad @ self.up).mul_(scaling)

    def of_input(self) -> Tensor:
        """Return the gradient of x [m, in]."""
        back: Tensor = self.grad @ self.weight
        return back if self.low is None else back.addmm_(self.low, self.down)

    def of_weights(self, x: Tensor | None, low: Tensor | None, needs: Any) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Return the gradients of weight, bias, A and B; None where not needed. low: x·Aᵀ [m, rank]."""
        turned = self.grad.t()
        return (
            turned @ x if needs[0] and x is not None else None,
            self.grad.sum(0) if needs[1] else None,
            self.low.t() @ x if needs[2] and self.low is not None and x is not None else None,
            (turned @ low).mul_(self.scaling) if needs[3] and low is not None else None,
        )
