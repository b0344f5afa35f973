"""Exact rewrites of weights: each moves a constant step of a network into the matrix beside it.

All take and return float64 tensors; the identities hold to rounding, and tests check each to 1e-12. A matrix is
[outputs, inputs], a convolution [outputs, inputs, height, width].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gi_edge.data.preprocess import PreprocessSpec

Affine = tuple[Tensor, Tensor]
"""Weight and bias of a matrix or convolution."""


def affine_of(layer: nn.Linear | nn.Conv2d) -> Affine:
    """Return weight and bias in float64; a missing bias is zero."""
    weight = layer.weight.detach().double()
    bias = weight.new_zeros(weight.shape[0]) if layer.bias is None else layer.bias.detach().double()
    return weight, bias


def matrix_from_convolution(weight: Tensor) -> Tensor:
    """Order a convolution whose stride is its kernel as a matrix over patches [height, width, inputs]."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def with_input_affine(after: Affine, scale: Tensor, shift: Tensor) -> Affine:
    """Fold x·scale + shift, per input channel, into the layer that takes it: W(s·x + t) + b = (W·s)x + (b + W·t).

    Exact for a convolution only if it has no padding: the border is padded after the shift.
    """
    weight, bias = after
    shape = (1, -1) + (1,) * (weight.ndim - 2)
    shifted = weight * shift.double().reshape(shape)
    return weight * scale.double().reshape(shape), bias + shifted.flatten(1).sum(dim=1)


def with_norm(after: Affine, norm: nn.LayerNorm) -> Affine:
    """Fold the weight and bias of a LayerNorm into the layer after it; the norm stays, bare."""
    return with_input_affine(after, norm.weight.detach(), norm.bias.detach())


def with_grn_bias(fc2: Affine, grn_bias: Tensor) -> Affine:
    """Fold the bias that GRN adds into the bias of fc2: W(x·s + β) + b = W(x·s) + (b + Wβ)."""
    return with_input_affine(fc2, torch.ones_like(grn_bias), grn_bias.detach().reshape(-1))


def pixel_affine(spec: PreprocessSpec) -> Affine:
    """Return scale and shift, float64 [3], with (pixel / 255 - mean) / std = pixel·scale + shift."""
    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (spec.mean, spec.std))
    return 1.0 / (255.0 * std), -mean / std


def with_pixels(stem: Affine, spec: PreprocessSpec, centre: Tensor) -> Affine:
    """Fold mean, std and 255 into a stem without padding, which then takes pixel - centre, centre [3]."""
    scale, shift = pixel_affine(spec)
    return with_input_affine(stem, scale, shift + scale * centre.double())
