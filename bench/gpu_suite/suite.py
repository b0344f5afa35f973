"""The steps of the suite. Each is a command of its own; one that fails leaves rows that say why, and the rest go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from gi_edge.artifacts.engine import RuntimeName
from gi_edge.artifacts.environment import Environment
from gi_edge.artifacts.manifest import package_versions
from gi_edge.data.synthetic import CLASSES
from gi_edge.errors import RuntimeUnavailableError
from gi_edge.metrics.parity import Precision
from gi_edge.runtime.device import has_cuda_device
from gi_edge.runtime.nvml import nvml_gpu
from gi_edge_bench.environment import Moment, environment_of, moment_now
from gpu_suite.bench_runs import BenchRuntime, Target, bench_rows, graph_rows
from gpu_suite.commands import Done, end_all, run_module
from gpu_suite.options import Options, Part
from gpu_suite.place import WEIGHTS_NOTE, Place, engine_words, export_words, train_words, write_inputs
from gpu_suite.torch_runs import Runtime, TorchJob, rows_from_output
from gpu_suite.values import Ceilings, Row, Step, SuiteResult
from gpu_suite.work import rated, work_of_architecture

_BENCHED: tuple[BenchRuntime, ...] = ("onnxruntime", "tensorrt", "tensorrt-rtx")
_MODULES: dict[RuntimeName, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_EXACT = {"NVIDIA_TF32_OVERRIDE": "0"}
"""For gi-edge's own commands: cuDNN may not round fp32 convolutions to TF32, whatever a library's default is."""
_PACKAGES = ("torch", "triton", "timm", "peft", "onnx", "onnxscript", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx")
Keep = Callable[[SuiteResult], None]
"""Stores the result as it is after a step, so that an end by force loses one step only."""


def check_device(options: Options) -> None:
    """Raise RuntimeUnavailableError where the GPU that was asked for is not there."""
    if options.device == "cuda" and not has_cuda_device():
        raise RuntimeUnavailableError(
            "the suite measures an NVIDIA GPU, and the driver shows none",
            fix="check it with nvidia-smi; or see the suite at work on the CPU: python -m gpu_suite --device cpu "
            "--models gi-edge-small --image-size 64 --batch-sizes 1 2 --compile-batch-sizes 1",
        )


class Suite:
    """One run: its place, and what it has found so far."""

    def __init__(self, root: Path, options: Options, keep: Keep) -> None:
        self.options = options
        self.place = Place(root, options)
        self.keep = keep
        self.started = time.perf_counter()
        self.created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.environment: Environment
        self.work = {name: work_of_architecture(name, len(CLASSES), options.image_size_px) for name in options.models}
        self.ceilings: Ceilings | None = None
        self.steps: list[Step] = []
        self.rows: list[Row] = []
        self.is_stopped = False
        self.why_no_bundle: dict[tuple[str, Precision], str] = {}

    def run(self) -> SuiteResult:
        """Run every part that was asked for. Raises: ModelError for an unknown model."""
        with nvml_gpu() as gpu:
            before = moment_now(gpu, computes=False)
            self.environment = environment_of(gpu, before, Moment(None, None))
            self._run_parts()
            self.environment = environment_of(gpu, before, moment_now(gpu, computes=False))
        return self._result(is_complete=True)

    def _run_parts(self) -> None:
        parts = self.options.parts
        write_inputs(self.place)
        if "ceilings" in parts:
            self._measure_ceilings()
        if set(parts) != {"ceilings"}:
            self._prepare_all(with_bundles=not set(_BENCHED).isdisjoint(parts))
        for runtime in _BENCHED:
            if runtime in parts:
                for model in self.options.models:
                    self._bench(model, runtime)
        torches: dict[Part, Runtime] = {"eager": "PyTorch eager", "compile": "torch.compile"}
        for part, name in torches.items():
            if part in parts:
                for model in self.options.models:
                    self._torch(model, name)

    def _prepare_all(self, *, with_bundles: bool) -> None:
        """Train and export what the workspace has not, all at once: an export leaves most cores idle, none is timed."""
        models = self.options.models
        with ThreadPoolExecutor(max_workers=2 * len(models)) as pool:
            training = [pool.submit(self._train, model) for model in models]
            self._wait(training)
            trained = [model for model in models if with_bundles and self.place.adapter(model).exists()]
            exports = [pool.submit(self._export_floats, model) for model in trained]
            if "int8" in self.options.precisions:
                exports += [pool.submit(self._export, model, f"{model}-int8", ("int8",)) for model in trained]
            self._wait(exports)

    def _wait(self, futures: list[Future[None]]) -> None:
        """Wait for commands in other threads; an interrupt ends them, and they start no others."""
        try:
            for future in futures:
                future.result()
        except BaseException:
            self.is_stopped = True
            end_all()
            raise

    def _train(self, model: str) -> None:
        if not self.place.adapter(model).exists():
            self._gi_edge(train_words(self.place, model))

    def _export_floats(self, model: str) -> None:
        """One bundle of all precisions but int8; where they fail together, one for each."""
        wanted = self.options.precisions
        halves = cast("tuple[Precision, ...]", tuple(name for name in wanted if name in ("fp16", "bf16")))
        self._export(model, model, ("fp32", *halves))
        if halves and not (self.place.root / "bundles" / model).exists():
            self._export(model, f"{model}-fp32", ("fp32",))
            for precision in halves:
                self._export(model, f"{model}-{precision}", (precision,))

    def _export(self, model: str, name: str, precisions: tuple[Precision, ...]) -> None:
        if (self.place.root / "bundles" / name).exists():
            return
        done = self._gi_edge(export_words(self.place, model, name, precisions))
        for precision in precisions:
            if done.reason:
                self.why_no_bundle[model, precision] = done.reason

    def _bench(self, model: str, runtime: BenchRuntime) -> None:
        for precision in self.options.precisions:
            bundle = self.place.bundle_of(model, precision, "onnxruntime" if runtime == "onnxruntime" else "tensorrt")
            why = self._why_not(model, precision, runtime, bundle)
            if why is None and bundle is not None:
                target = Target(model, bundle, precision, runtime)
                rows = bench_rows(target, self.options, self._gi_edge, self._is_late)
                self._add(rows)
                self._add(self._graph_rows(target, rows) if runtime != "onnxruntime" else [])
            bare = (
                Row(model=model, runtime=runtime, precision=precision, batch_size=size)
                for size in self.options.batch_sizes
            )
            self._add_missing(bare, why or self._late_text)

    def _graph_rows(self, target: Target, rows: list[Row]) -> list[Row]:
        if not self._is_late():
            return graph_rows(target, self.options, self._gi_edge, rows)
        ran = [row.batch_size for row in rows if row.reason is None]
        return [
            Row(
                model=target.model,
                runtime=target.runtime,
                precision=target.precision,
                batch_size=size,
                cuda_graph=True,
                reason=self._late_text,
            )
            for size in sorted(ran)[:1]
        ]

    def _why_not(self, model: str, precision: Precision, runtime: BenchRuntime, bundle: str | None) -> str | None:
        """Return why a model cannot be benched; builds its engine where the runtime needs one."""
        if self._is_late():
            return self._late_text
        if runtime != "onnxruntime" and find_spec(_MODULES[runtime]) is None:
            return f"{runtime} is not installed"
        if bundle is None:
            return self.why_no_bundle.get((model, precision), "there is no bundle: its training failed")
        if runtime == "onnxruntime":
            return None
        return self._gi_edge(engine_words(bundle, precision, runtime, self.options.batch_sizes)).reason

    def _torch(self, model: str, runtime: Runtime) -> None:
        options = self.options
        sizes = options.compile_batch_sizes if runtime == "torch.compile" else options.batch_sizes
        wanted = tuple(
            (network, precision, size)
            for network in options.networks
            for size in sizes
            for precision in options.precisions
            if precision != "int8"  # PyTorch has none of this network
        )
        why = self._late_text if self._is_late() else None
        if why is None and not self.place.adapter(model).exists():
            why = "there is no adapter: its training failed"
        if why is None:
            job = TorchJob(
                model=model,
                adapter=self.place.adapter(model),
                data=self.place.data,
                weights=self.place.weights(model),
                runtime=runtime,
                mode=options.compile_mode if options.device == "cuda" else "default",
                device=options.device,
                seconds=options.seconds,
                rows=wanted,
            )
            done = self._step("gpu_suite.torch_runs", [job.model_dump_json()], f"{runtime}, {model}")
            self._add(rows_from_output(done.out))
            why = done.reason
        bare = (
            Row(model=model, runtime=runtime, network=network, precision=precision, batch_size=size)
            for network, precision, size in wanted
        )
        self._add_missing(bare, why or self._late_text)

    def _add_missing(self, bare: Iterable[Row], why: str) -> None:
        """Add a row with the reason for everything that was wanted and has none."""
        there = {row.key for row in self.rows}
        self._add([row.model_copy(update={"reason": why}) for row in bare if row.key not in there])

    def _measure_ceilings(self) -> None:
        words = [self.options.device, f"{self.options.seconds / 2:g}"]
        done = self._step("gpu_suite.ceilings", words, "ceilings")
        if done.reason is None:
            self.ceilings = Ceilings.model_validate_json(done.out)
            self.keep(self._result(is_complete=False))

    def _add(self, rows: list[Row]) -> None:
        size = self.options.image_size_px
        self.rows += [rated(row, self.work[row.model], self.ceilings, size) for row in rows]
        self.keep(self._result(is_complete=False))

    def _gi_edge(self, words: list[str]) -> Done:
        return self._step("gi_edge", words, " ".join(["gi-edge", *words]))

    def _step(self, module: str, words: list[str], title: str) -> Done:
        """Run one command, no longer than what is left of the time, and take note of it."""
        if self.is_stopped:
            raise KeyboardInterrupt
        limit = min(60 * self.options.command_minutes, max(self._left_s(), 30.0))
        sys.stderr.write(f"$ {title}\n")
        done = run_module(module, words, self.place.root, limit, _EXACT if module == "gi_edge" else {})
        sys.stderr.write(f"{done.seconds:.1f} s: {title}{'' if done.reason is None else ': ' + done.reason}\n")
        self.steps.append(Step(command=title, seconds=round(done.seconds, 1), reason=done.reason))
        return done

    def _left_s(self) -> float:
        return 60 * self.options.minutes - (time.perf_counter() - self.started)

    def _is_late(self) -> bool:
        return self._left_s() <= 0

    @property
    def _late_text(self) -> str:
        return f"not begun within {self.options.minutes:g} minutes (--minutes)"

    def _result(self, *, is_complete: bool) -> SuiteResult:
        return SuiteResult(
            created=self.created,
            settings=self.options.model_dump(mode="json"),
            weights=WEIGHTS_NOTE.format(seed=self.options.seed),
            environment=self.environment,
            packages=package_versions(_PACKAGES),
            ceilings=self.ceilings,
            work=self.work,
            steps=tuple(self.steps),
            rows=tuple(self.rows),
            is_complete=is_complete,
        )
