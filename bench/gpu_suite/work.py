"""What one image costs, whatever runs it: the numerators of FLOP/s and bytes/s.

FLOPs are those of the matrix products and convolutions of the published network, two per multiply-add, as
torch.utils.flop_counter counts them; norms, GELU, GRN, residuals and pooling are not counted.

Bytes are a floor for a runtime that stores its activations: once per batch the weights of these layers, and per
image the uint8 pixels and what each of these layers reads and writes, all in the width of the precision. What lies
between them is taken as fused into its neighbours, at no cost, and statistics that are kept in fp32 as no traffic.
A runtime without fusion moves more; one whose tensors stay in a cache takes less of it from the memory, and a share
above one of the copy's bytes/s says so. The int8 models keep part of their tensors wider than a byte: for them the
floor is lower than for the others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gi_edge.metrics.parity import Precision
from gi_edge.modeling.architecture import create_model
from gpu_suite.values import Ceilings, Row, Work

WIDTHS: dict[Precision, int] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
"""Bytes of one number."""


def work_of_architecture(name: str, classes: int, size_px: int) -> Work:
    """Count an architecture, without memory for its weights. Raises: ModelError for an unknown name."""
    with torch.device("meta"):
        model = create_model(name, classes).eval()
        image = torch.empty(1, 3, size_px, size_px)
    return work_of_module(model, image)


def work_of_module(model: nn.Module, image: Tensor) -> Work:
    """Count a module on one image [1, …]."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    moved: list[int] = []

    def count(_: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
        moved.append(given[0].numel() + answer.numel())

    handles = [layer.register_forward_hook(count) for layer in layers]
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return Work(
        flops_per_image=int(counter.get_total_flops()),
        weights=sum(weight.numel() for layer in layers for weight in layer.parameters(recurse=False)),
        activations_per_image=sum(moved),
    )


def bytes_per_image(work: Work, precision: Precision, batch_size: int, size_px: int) -> float:
    """Return the floor of the bytes moved for one image of a batch."""
    width = WIDTHS[precision]
    return width * (work.weights / batch_size + work.activations_per_image) + 3 * size_px * size_px


def rated(row: Row, work: Work, ceilings: Ceilings | None, size_px: int) -> Row:
    """Return a measured row with its FLOP/s, bytes/s and their shares of the ceilings; any other as it is."""
    if row.images_per_second is None:
        return row
    flops = work.flops_per_image * row.images_per_second
    moved = bytes_per_image(work, row.precision, row.batch_size, size_px) * row.images_per_second
    matrix = ceilings.matrix[row.multiplies_in or row.precision].per_second if ceilings else None
    copied = ceilings.memory.per_second if ceilings else None
    return row.model_copy(
        update={
            "flops_per_second": flops,
            "share_of_matrix": flops / matrix if matrix else None,
            "bytes_per_second": moved,
            "share_of_copy": moved / copied if copied else None,
        }
    )
