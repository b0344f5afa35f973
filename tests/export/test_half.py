"""Half products at fp32's speed are those of PyTorch's own half kernels."""

from __future__ import annotations

import pytest
import torch
from networks import PIXELS, SPEC, convnext_of
from torch import nn
from torch.nn import functional

from gi_edge.modeling.pixels import logits_of
from gi_edge_export.deploy import deployed_from_model
from gi_edge_export.half import HalfProducts

HALVES = (torch.float16, torch.bfloat16)


def operands(dtype):
    torch.manual_seed(0)
    return (torch.randn(64, 96).to(dtype), (0.1 * torch.randn(48, 96)).to(dtype), torch.randn(48).to(dtype))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "product",
    [
        lambda x, w, b: functional.linear(x, w, b),
        lambda x, w, b: x @ w.T,
        lambda x, w, b: torch.matmul(x, w.T),
        lambda x, w, b: functional.conv2d(x.reshape(4, 96, 4, 4), w.reshape(48, 96, 1, 1), bias=b),
        lambda x, w, b: functional.conv2d(
            x.reshape(4, 96, 4, 4), w[:, :9].repeat(2, 1).reshape(96, 1, 3, 3), groups=96
        ),
    ],
)
def test_a_product_is_the_one_of_the_half_kernel_to_its_last_bit_but_one(product, dtype):
    given = operands(dtype)
    native = product(*given)
    with HalfProducts():
        found = product(*given)
    assert found.dtype == dtype
    exact = product(*(item.double() for item in given))
    bits = 2 * torch.finfo(dtype).eps * exact.abs().clamp(min=1.0)
    assert ((found.double() - exact).abs() <= bits / 2).all()  # rounded once
    assert ((found.double() - native.double()).abs() <= bits).all()


def test_a_product_beyond_the_range_of_fp16_is_infinite():
    x, w = torch.full((1, 64), 100.0).half(), torch.full((1, 64), 100.0).half()
    with HalfProducts():
        assert torch.isinf(functional.linear(x, w)).all()
        assert torch.isfinite(functional.linear(x.bfloat16(), w.bfloat16())).all()


def test_everything_else_stays_what_it_is():
    x, w, b = operands(torch.float32)
    with HalfProducts():
        assert torch.equal(functional.linear(x, w, b), torch.addmm(b, x, w.T))
        assert (x.half() * 300).square().isinf().any()  # elementwise half overflows as before
        assert nn.functional.gelu(x.half()).dtype == torch.float16


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_network_answers_as_with_the_half_kernels(precision):
    network = deployed_from_model(convnext_of("convnextv2_atto"), SPEC, precision)
    native = logits_of(network, PIXELS)
    with HalfProducts():
        found = logits_of(network, PIXELS)
    exact = logits_of(deployed_from_model(convnext_of("convnextv2_atto"), SPEC), PIXELS)
    scale = abs(exact).max()
    limit = {"fp16": 0.005, "bf16": 0.04}[precision]
    assert abs(found - native).max() <= limit * scale
    assert 0 < abs(found - exact).max() <= limit * scale
