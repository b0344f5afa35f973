"""The gate: an exported model answers as the trained one did, or there is no bundle."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from torch import nn

from gi_edge.errors import GateError
from gi_edge.metrics.parity import Parity, Precision, Verdict, parity_from_logits, verdict_from_parity
from gi_edge.modeling.pixels import logits_of
from gi_edge.runtime.onnxruntime import open_session
from gi_edge_export.graph_types import widened_from_graph

_BATCH_SIZE = 8


@dataclass(frozen=True)
class Checked:
    """What a model file was found to do."""

    verdict: Verdict
    file_parity: Parity
    """The file itself in ONNX Runtime on the CPU, against the reference."""


def check_model(
    precision: Precision,
    path: Path,
    classifier: nn.Module,
    pixels: NDArray[np.uint8],
    reference: NDArray[np.float32],
) -> Checked:
    """Compare a model file, and the PyTorch classifier it was traced from, with the reference logits.

    fp32 is judged by the file in ONNX Runtime. fp16 and bf16 are judged by PyTorch, which computes half precision; ONNX
    Runtime's CPU provider widens fp16 and has no bf16, so there the file, widened, only shows that the graph was
    translated rightly.

    Raises: GateError if the verdict is negative.
    """
    of_file = parity_from_logits(reference, _logits_of_file(precision, path, pixels))
    if precision == "fp32":
        verdict = verdict_from_parity(precision, of_file, f"onnxruntime {ort.__version__}, CPUExecutionProvider")
    else:
        computed = parity_from_logits(reference, logits_of(classifier, pixels))
        device = next(classifier.parameters()).device.type
        verdict = verdict_from_parity(precision, computed, f"PyTorch on {device}, computing in half precision")
    translated = verdict_from_parity(precision, of_file, "")
    reasons = (*verdict.reasons, *(f"the ONNX file: {reason}" for reason in translated.reasons))
    if reasons:
        raise GateError(
            f"the {precision} model does not answer as the trained one: {'; '.join(dict.fromkeys(reasons))}; "
            "no bundle was written",
            fix="export without this precision" if precision != "fp32" else "report this as a defect of the export",
        )
    return Checked(verdict, of_file)


def _logits_of_file(precision: Precision, path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory() as folder:
        if precision == "bf16":
            onnx.save(widened_from_graph(onnx.load(path)), path := Path(folder) / path.name)
        session = open_session(path, "cpu")
        batches = [session.run(pixels[start : start + _BATCH_SIZE]) for start in range(0, len(pixels), _BATCH_SIZE)]
    return np.concatenate(batches)
