"""Rows of ONNX Runtime and TensorRT, by `gi-edge bench`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from gi_edge.artifacts.results import BenchResult, ModelRun
from gi_edge.config import value_from_mapping
from gi_edge.errors import ConfigError
from gi_edge.metrics.latency import MINIMUM_COUNT
from gi_edge.metrics.parity import Precision
from gpu_suite.commands import Done
from gpu_suite.options import Options
from gpu_suite.values import Row

BenchRuntime = Literal["onnxruntime", "tensorrt", "tensorrt-rtx"]
Call = Callable[[list[str]], Done]
"""Runs a command of gi-edge in the workspace."""


class Target(NamedTuple):
    """One model file of a bundle on one runtime."""

    model: str
    bundle: str
    precision: Precision
    runtime: BenchRuntime
    cuda_graph: bool = False


def bench_words(target: Target, options: Options, sizes: Sequence[int]) -> list[str]:
    """Return the command that measures one model of a bundle: the one place that knows bench's options."""
    words = ["bench", target.bundle, "--precision", target.precision, "--allow-undecided", "--json"]
    words += ["--runtime", target.runtime]
    words += ["--provider", options.device] if target.runtime == "onnxruntime" else []
    words += ["--cuda-graph"] if target.cuda_graph else []
    is_single = list(sizes) == [1]
    words += ["--scenario", "single-stream" if is_single else "offline", "--region", "device", "--region", "host"]
    for size in () if is_single else sizes:
        words += ["--batch-size", str(size)]
    count = MINIMUM_COUNT["p99"] if is_single else 16 * max(sizes)
    words += ["--minimum-seconds", f"{options.seconds:g}", "--minimum-count", str(count), "--no-pictures"]
    words += ["--maximum-seconds", f"{4 * options.seconds:g}", "--idle-gap-ms", "0"]
    return [*words, "--warmup-seconds", f"{options.seconds:g}"]


def bench_rows(target: Target, options: Options, call: Call, is_late: Callable[[], bool]) -> list[Row]:
    """Measure a target at every batch size; each has a row, measured or with its reason.

    Single frames first, in a command of their own, since only they take the samples of a p99; then all other sizes in
    one, and where that fails, each of them alone: a batch too large for the memory costs no row but its own.
    """
    sizes = sorted(set(options.batch_sizes))
    groups = [
        group for group in ([size for size in sizes if size == 1], [size for size in sizes if size != 1]) if group
    ]
    rows: list[Row] = []
    for group in groups:
        if is_late():
            return rows
        found = _called(target, options, call, group)
        has_failed = all(row.reason for row in found)
        if has_failed and len(group) > 1 and not (rows and rows[-1].reason == found[0].reason):
            found = []
            for size in group:
                found += _called(target, options, call, [size]) if not is_late() else []
        rows += found
    return rows


def graph_rows(target: Target, options: Options, call: Call, measured: Sequence[Row]) -> list[Row]:
    """Measure the smallest batch again, its launches recorded as a CUDA graph: there they weigh most.

    measured: rows of the same without a graph; where none of them ran there is no row.
    """
    sizes = [row.batch_size for row in measured if row.reason is None]
    return _called(target._replace(cuda_graph=True), options, call, [min(sizes)]) if sizes else []


def _called(target: Target, options: Options, call: Call, sizes: list[int]) -> list[Row]:
    model, _, precision, runtime, graph = target
    bare = [Row(model=model, runtime=runtime, precision=precision, batch_size=size, cuda_graph=graph) for size in sizes]
    done = call(bench_words(target, options, sizes))
    result = result_from_output(done.out)
    # a verdict of fail ends with exit code 3, after the result was printed: the times are there all the same
    if result is None:
        return [row.model_copy(update={"reason": done.reason or "it printed no result"}) for row in bare]
    models = [run for found in result.bundles for run in found.models if run.precision == precision]
    seen = {"marks": result.marks, "sm_clock_mhz": _clock_after(result)}
    rows = [row.model_copy(update=seen) for run in models for row in rows_from_run(target, run, sizes)]
    measured = {row.batch_size for row in rows}
    missing = "gi-edge bench reported no such batch size"
    return rows + [row.model_copy(update={"reason": missing}) for row in bare if row.batch_size not in measured]


def _clock_after(result: BenchResult) -> int | None:
    after = result.environment.gpus[0].after if result.environment.gpus else None
    return after.sm_clock_mhz if after else None


def result_from_output(out: str) -> BenchResult | None:
    """Return the result that gi-edge bench --json printed, None if it printed none."""
    for line in out.splitlines():
        if line.startswith("{"):
            try:
                return value_from_mapping(BenchResult, json.loads(line), source="what gi-edge bench printed")
            except (ValueError, ConfigError):
                return None
    return None


def rows_from_run(target: Target, run: ModelRun, sizes: Sequence[int]) -> list[Row]:
    """Return a row for each wanted size and region of one model file; scenarios with deadlines or streams are left."""
    parity = run.parity.verdict.parity if run.parity else None
    # ONNX Runtime's CPU provider computes half-precision graphs in fp32
    is_widened = run.provider == "CPUExecutionProvider" and run.precision in ("fp16", "bf16")
    rows = []
    for speed in run.speeds:
        if speed.batch_size not in sizes or speed.scenario not in ("single-stream", "offline"):
            continue
        rows.append(
            Row(
                model=target.model,
                runtime=target.runtime,
                precision=run.precision,
                batch_size=speed.batch_size,
                cuda_graph=target.cuda_graph,
                computed_by=f"{run.runtime}, {run.provider}",
                multiplies_in="fp32" if is_widened else None,
                region=speed.region,
                clock=speed.clock,
                images_per_second=speed.images_per_second,
                p50_ms=speed.summary.p50_ms,
                p99_ms=speed.summary.p99_ms,
                samples=speed.summary.count,
                is_steady=speed.warm_up.is_steady,
                energy=speed.energy,
                verdict=run.parity.verdict.status if run.parity else None,
                flips=parity.flips if parity else None,
                frames=parity.n if parity else None,
                max_abs_error=parity.max_abs_error if parity else None,
                note=speed.note,
            )
        )
    return rows
