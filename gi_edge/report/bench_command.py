"""The command line that measures again as a bench result was measured."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from gi_edge.artifacts.results import BenchResult

Settings = Mapping[str, Any]
"""As the result keeps them: the fields of BenchSettings, as JSON has them."""
_OPTIONS = {
    "precisions": "--precision",
    "scenarios": "--scenario",
    "regions": "--region",
    "batch_sizes": "--batch-size",
    "streams": "--streams",
    "frame_rates": "--frame-rate",
    "warmup_seconds": "--warmup-seconds",
    "minimum_seconds": "--minimum-seconds",
    "minimum_count": "--minimum-count",
    "maximum_seconds": "--maximum-seconds",
    "idle_gap_ms": "--idle-gap-ms",
}
"""Options that take values, in the order of the command."""


def command_from_result(result: BenchResult, defaults: Settings = MappingProxyType({})) -> str:
    """Return the command line that benches the same bundles alike in their workspace.

    defaults: settings of a run without options, which need not be named; without them every setting is.
    """
    settings = {
        name: value for name, value in result.settings.items() if name not in defaults or value != defaults[name]
    }
    words = [bundle.name for bundle in result.bundles]
    words += [*_backend_words(result.settings), *_frame_words(result)]
    for name, option in _OPTIONS.items():
        values = settings.get(name)
        for value in values if isinstance(values, list | tuple) else [] if values is None else [values]:
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    if settings.get("pictures") is False:
        words.append("--no-pictures")
    if settings.get("cross_check"):
        words.append("--cross-check")
    for backend in result.settings.get("against", ()):
        words += ["--against", _backend_text(backend)]
    return shlex.join(["gi-edge", "bench", *words])


def _backend_words(settings: Settings) -> Iterator[str]:
    """Name runtime and provider, unless the run took the bundle's engines too, as it does where neither is named."""
    backend = settings.get("backend")
    if backend is None:
        return
    if not settings.get("with_engines"):
        yield from ("--runtime", backend["runtime"])
        if backend["runtime"] == "onnxruntime":
            yield from ("--provider", backend["provider"])
    if backend["threads"] is not None:
        yield from ("--threads", str(backend["threads"]))
    if backend["cuda_graph"]:
        yield "--cuda-graph"


def _backend_text(backend: Settings) -> str:
    is_named = backend["runtime"] == "onnxruntime" and backend["provider"] != "auto"
    return f"{backend['runtime']}:{backend['provider']}" if is_named else str(backend["runtime"])


def _frame_words(result: BenchResult) -> list[str]:
    """Return what keeps a run from the dataset, which it takes of itself where it is there."""
    models = [model for bundle in result.bundles for model in bundle.models]
    if not models or any(model.parity for model in models):
        return []
    on_probes = any(item.frames == "probes" for model in models for item in model.comparisons)
    return ["--probes"] if on_probes else ["--speed-only"]
