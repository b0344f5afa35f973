"""The gate: an exported model answers as the trained one did, or there is no bundle."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from torch import nn

from gi_edge.artifacts.bundle import model_sha256
from gi_edge.errors import GateError
from gi_edge.metrics.agreement import parity_from_logits
from gi_edge.metrics.gate import Answers, Origin, verdict_from_answers
from gi_edge.metrics.limits import limit_checks
from gi_edge.metrics.parity import Parity, Precision
from gi_edge.metrics.verdict import Verdict
from gi_edge.modeling.pixels import logits_of
from gi_edge.runtime.batches import logits_from_session
from gi_edge.runtime.onnxruntime import open_session
from gi_edge_export.graph_types import widened_from_graph
from gi_edge_export.half import HalfProducts
from gi_edge_export.quantize.kernels import text_from_kernels

_WIDENED: tuple[Precision, ...] = ("fp16", "bf16")
"""What ONNX Runtime's CPU provider does not compute in."""


@dataclass(frozen=True)
class Trained:
    """The trained model's answers on the held-out frames, which an export is judged by."""

    pixels: NDArray[np.uint8]
    """[n, size, size, 3] RGB, from the raw files."""
    logits: NDArray[np.float32]
    """[n, classes] fp32, adapter not merged."""
    truth: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: tuple[str, ...] | None
    """[n] video, patient or cluster; None where one is not known."""
    temperature: float
    """Of the probabilities of both models."""


@dataclass(frozen=True)
class Checked:
    """What a model file was found to do."""

    verdict: Verdict
    file_parity: Parity
    """The file itself in ONNX Runtime on the CPU, against the reference."""


def check_model(
    precision: Precision, path: Path, classifier: nn.Module, trained: Trained, *, allow_undecided: bool
) -> Checked:
    """Compare a model file, and the PyTorch classifier it was traced from, with the trained model.

    fp32 and int8 are judged by the file in ONNX Runtime; where that has no int8 kernel for a matrix, it multiplies the
    same 8-bit values in fp32. The half precisions are judged by PyTorch, which computes in them; ONNX Runtime's CPU
    provider widens fp16 and has no bf16, so there the file, widened, only shows that the graph was translated rightly.

    Raises: GateError if the model does not answer as the trained one, or if that cannot be decided and is not allowed.
    """
    of_file = _logits_of_file(precision, path, trained.pixels)
    answers = Answers(trained.truth, trained.logits, of_file, trained.classes, trained.groups, trained.temperature)
    computed_by = f"onnxruntime {ort.__version__}, CPUExecutionProvider"
    if precision == "int8":
        computed_by += f", {text_from_kernels(path)}"
    if precision in _WIDENED:
        device = next(classifier.parameters()).device.type
        with HalfProducts() if device == "cpu" else nullcontext():
            answers = replace(answers, candidate=logits_of(classifier, trained.pixels))
        computed_by = f"PyTorch on {device}, computing in half precision"
    verdict = verdict_from_answers(precision, answers, Origin(model_sha256(path), computed_by, True))
    file_parity = parity_from_logits(trained.logits, of_file, trained.temperature)
    translated = [check.reason for check in limit_checks(precision, file_parity) if check.outcome == "fail"]
    _refuse(verdict, translated, allow_undecided=allow_undecided)
    return Checked(verdict, file_parity)


def _refuse(verdict: Verdict, translated: list[str], *, allow_undecided: bool) -> None:
    precision = verdict.precision
    failed = list(verdict.reasons) if verdict.status == "fail" else []
    failed += [f"the ONNX file: {reason}" for reason in translated if reason not in failed]
    if failed:
        raise GateError(
            f"the {precision} model does not answer as the trained one: {'; '.join(failed)}; no bundle was written",
            fix="export without this precision" if precision != "fp32" else "report this as a defect of the export",
        )
    if verdict.status == "undecided" and not allow_undecided:
        raise GateError(
            f"the {precision} model could not be judged: {'; '.join(verdict.reasons)}; no bundle was written",
            fix="hold out more frames, or accept the open verdict, which the bundle then carries: --allow-undecided",
        )


def _logits_of_file(precision: Precision, path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory() as folder:
        if precision == "bf16":
            onnx.save(widened_from_graph(onnx.load(path)), path := Path(folder) / path.name)
        return logits_from_session(open_session(path, "cpu"), pixels)
