"""Half precision on a CPU at the speed of fp32: products with fp32 sums, rounded to half."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

_HALVES = (torch.float16, torch.bfloat16)
_PRODUCTS = (functional.linear, torch.conv2d, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, torch.addmm)


class HalfProducts(TorchFunctionMode):
    """Inside, matrix products and convolutions of half tensors are summed in fp32 and rounded to half once.

    So do the matrix units of GPUs, and PyTorch's own half kernels, which take 5 to 16 times as long on a CPU without
    fp16 instructions. Operands are half values either way, and a result beyond the range is infinite either way; all
    other operations stay what they are.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Compute one operation; called by PyTorch."""
        operand = next((item for item in args if isinstance(item, Tensor)), None)
        if func not in _PRODUCTS or operand is None or operand.dtype not in _HALVES:
            return func(*args, **(kwargs or {}))
        args, kwargs = tree_map(_widened, (args, kwargs or {}))
        return func(*args, **kwargs).to(operand.dtype)


def _widened(item: Any) -> Any:  # noqa: ANN401
    return item.float() if isinstance(item, Tensor) and item.dtype in _HALVES else item
