"""A graph of five nodes whose answer is known: what a runtime is tried with.

tests/golden/write_tiny_graph.py makes it and computes the answer without a runtime.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gi_edge.errors import RuntimeUnavailableError
from gi_edge.runtime.session import Session

TINY_GRAPH = Path(__file__).with_name("tiny.onnx")
TINY_LOGITS = ((-8.51171875, -19.763671875, 0.255859375), (-10.54296875, -21.794921875, 2.724609375))
_TOLERANCE = 1e-3
"""Of logits up to 30; fp32 differs by 1e-5 at most, and a broken runtime by far more."""


def tiny_pixels() -> NDArray[np.uint8]:
    """Return the frames of the answer, uint8 [2, 4, 4, 3]."""
    return (np.arange(96, dtype=np.uint32) * 37 % 256).astype(np.uint8).reshape(2, 4, 4, 3)


def check_tiny(session: Session) -> None:
    """Run the graph. Raises: RuntimeUnavailableError if the logits are not those of the graph."""
    logits = session.run(tiny_pixels())
    error = float(np.abs(logits - np.array(TINY_LOGITS)).max()) if logits.shape == (2, 3) else float("inf")
    if not error <= _TOLERANCE:  # also where it is not a number
        raise RuntimeUnavailableError(
            f"{session.runtime}, {session.provider} runs but computes wrong numbers: logits {logits.tolist()}, "
            f"right are {[list(row) for row in TINY_LOGITS]}",
            fix="gi-edge doctor",
        )
