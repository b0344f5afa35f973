"""A result as one Markdown table: ``python -m gpu_suite.table FILE.json`` prints it again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gi_edge.config import value_from_mapping
from gpu_suite.values import Row, SuiteResult

_HEAD = (
    "model",
    "runtime",
    "precision",
    "batch",
    "images/s",
    "p50 ms",
    "p99 ms (n)",
    "TFLOP/s (of matrix)",
    "GB/s (of copy)",
    "mJ/image (W)",
    "SM MHz",
    "parity",
    "max logit error",
)


def text_from_suite(result: SuiteResult) -> str:
    """Return ceilings, table and what did not run, as Markdown."""
    measured = [row for row in result.rows if row.reason is None]
    lines = [f"# {result.device}", "", f"Weights: {result.weights}.", ""]
    lines += [f"- {line}" for line in _ceilings(result)]
    lines += ["", f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|", *(_cells(row) for row in measured)]
    lines += ["", *_doubts(measured), *_reasons(result)]
    return "\n".join(lines).rstrip() + "\n"


def _ceilings(result: SuiteResult) -> list[str]:
    if result.ceilings is None:
        return ["Ceilings were not measured, so no share is given."]
    unit = {"int8": "TOP/s"}
    lines = []
    for kind, ceiling in result.ceilings.matrix.items():
        found = ceiling.per_second
        value = (
            f"not measured, {ceiling.reason}" if found is None else f"{found / 1e12:.3g} {unit.get(kind, 'TFLOP/s')}"
        )
        lines.append(f"Matrix ceiling {kind}: {value}" + (f" ({ceiling.how})" if found else ""))
    memory = result.ceilings.memory
    value = f"not measured, {memory.reason}" if memory.per_second is None else f"{memory.per_second / 1e9:.4g} GB/s"
    return [*lines, f"Copy ceiling: {value}" + (f" ({memory.how})" if memory.per_second else "")]


def _cells(row: Row) -> str:
    runtime = f"{row.runtime}, {row.network}" if row.runtime in ("PyTorch eager", "torch.compile") else row.computed_by
    runtime += ", CUDA graph" if row.cuda_graph else ""
    runtime += f", {row.region}" if row.region == "host" else ""
    cells = (
        row.model,
        runtime,
        row.precision,
        str(row.batch_size),
        _number(row.images_per_second, "{:,.1f}"),
        _number(row.p50_ms, "{:.3f}") + ("" if row.is_steady is not False else " (unsteady)"),
        f"{_number(row.p99_ms, '{:.3f}')} ({row.samples})",
        _rate(row.flops_per_second, 1e12, row.share_of_matrix),
        _rate(row.bytes_per_second, 1e9, row.share_of_copy),
        f"{row.energy.millijoules_per_frame:.3g} ({row.energy.mean_watts:.3g})" if row.energy else "–",
        _number(row.sm_clock_mhz, "{:d}"),
        "–" if row.verdict is None else f"{row.verdict}, {row.flips} of {row.frames} changed",
        _number(row.max_abs_error, "{:.1e}"),
    )
    return f"| {' | '.join(cells)} |"


def _doubts(rows: list[Row]) -> list[str]:
    """Return what casts doubt on the times, one line for all rows of which it was said."""
    marked: dict[str, list[str]] = {}
    for row in rows:
        graph = ", CUDA graph" if row.cuda_graph else ""
        for mark in row.marks:
            marked.setdefault(f"{mark.kind}: {mark.text}", []).append(
                f"{row.model} {row.runtime} {row.precision}{graph} batch {row.batch_size}"
            )
    lines = [f"- {text} ({'; '.join(dict.fromkeys(names))})" for text, names in marked.items()]
    return ["Times to be doubted:", "", *lines, ""] if lines else []


def _reasons(result: SuiteResult) -> list[str]:
    """Return one line for all batch sizes that did not run for the same reason."""
    batches: dict[tuple[str, str, str, str], list[int]] = {}
    for row in result.rows:
        if row.reason is not None:
            runtime = f"{row.runtime} with a CUDA graph" if row.cuda_graph else row.runtime
            batches.setdefault((row.model, runtime, row.precision, row.reason), []).append(row.batch_size)
    lines = [
        f"- {model}, {runtime}, {precision}, batch {', '.join(map(str, sizes))}: {reason}"
        for (model, runtime, precision, reason), sizes in batches.items()
    ]
    told = {row.reason for row in result.rows}
    failed = [f"- `{step.command}`: {step.reason}" for step in result.steps if step.reason and step.reason not in told]
    return (["Not run:", "", *lines, ""] if lines else []) + (
        ["Other commands that failed:", "", *failed] if failed else []
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _rate(value: float | None, unit: float, share: float | None) -> str:
    return _number(value and value / unit, "{:.3g}") + ("" if share is None else f" ({share:.1%})")


if __name__ == "__main__":
    file = Path(sys.argv[1])
    content = json.loads(file.read_text(encoding="utf-8"))
    sys.stdout.write(text_from_suite(value_from_mapping(SuiteResult, content, source=str(file))))
