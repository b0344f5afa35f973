"""What may be said of each model file after a bench run, and of all of them in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gi_edge.artifacts.results import BenchResult, BundleRun, ModelRun
from gi_edge.report.formats import text_from_list

_NAMED_FAILURES = 3


@dataclass(frozen=True)
class Standing:
    """The outcome for one model file, and whose word it is."""

    outcome: Literal["pass", "fail"]
    source: Literal["here", "export"]
    """here: this run proved or disproved it; export: only the bundle's own verdict speaks of this precision."""
    is_measured: bool
    """Whether this run compared the engine's answers at all."""
    reasons: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why it failed, in one clause."""
        return "; ".join(self.reasons) or "no reason given"

    @property
    def words(self) -> str:
        """The table cell: pass, fail, pass at export, fail at export or not measured."""
        if self.source == "here":
            return self.outcome
        if not self.is_measured and self.outcome == "pass":
            return "not measured"
        return f"{self.outcome} at export"


def standing_from_model(model: ModelRun) -> Standing:
    """Weigh the verdict of this run against that of the export.

    A failure measured here always counts. A pass measured here counts where the provider computes in the
    precision of the graph; elsewhere, and without a parity pass, the verdict of the export stands.
    """
    parity = model.parity
    if parity is not None and (parity.proves_precision or parity.verdict.status == "fail"):
        return Standing(parity.verdict.status, "here", True, parity.verdict.reasons)
    verdict = model.export_verdict
    return Standing(verdict.status, "export", parity is not None, verdict.reasons)


def labels_from_models(models: tuple[ModelRun, ...]) -> tuple[str, ...]:
    """Return one short label per model of a bundle: the precision, and what else tells it from the others."""
    shorter: list[list[str]] = [
        [model.precision for model in models],
        [f"{model.precision} {model.provider.removesuffix('ExecutionProvider')}" for model in models],
        [f"{model.precision} {model.provider} {model.runtime}" for model in models],
    ]
    for labels in shorter:
        if len(set(labels)) == len(labels):
            return tuple(labels)
    seen: Counter[str] = Counter()
    unique = []
    for label in shorter[-1]:
        seen[label] += 1
        unique.append(f"{label} ({seen[label]})")
    return tuple(unique)


def named_models(result: BenchResult) -> Iterator[tuple[str, BundleRun, ModelRun]]:
    """Yield every model file with a name that is readable outside its bundle."""
    for bundle in result.bundles:
        for label, model in zip(labels_from_models(bundle.models), bundle.models, strict=True):
            yield f"{bundle.name} {label}", bundle, model


def verdict_from_result(result: BenchResult) -> Literal["pass", "fail", "unmeasured"]:
    """Return fail if any model file failed; pass if all were compared and this run proved one at least."""
    standings = [standing_from_model(model) for _, _, model in named_models(result)]
    if any(standing.outcome == "fail" for standing in standings):
        return "fail"
    is_compared = all(standing.is_measured for standing in standings)
    return "pass" if is_compared and any(standing.source == "here" for standing in standings) else "unmeasured"


def sentence_from_result(result: BenchResult) -> str:
    """Return the verdict on all model files in one sentence: all passed, what failed, or what is unknown."""
    standings = {name: standing_from_model(model) for name, _, model in named_models(result)}
    if not standings:
        return "This run measured no model file."
    failed = {name: standing for name, standing in standings.items() if standing.outcome == "fail"}
    if failed:
        return _failure_sentence(failed, len(standings))
    measured = [standing for standing in standings.values() if standing.is_measured]
    files = _files(len(standings))
    if not measured:
        return (
            f"Parity was not measured in this run: it timed {files} and says nothing about the answers; "
            f"the verdict at export was pass."
        )
    if len(measured) < len(standings):
        rest = len(standings) - len(measured)
        return (
            f"Of {files}, {len(measured)} passed; parity was not measured in this run for the other "
            f"{'one' if rest == 1 else rest}, and the verdict at export was pass."
        )
    proven = sum(standing.source == "here" for standing in measured)
    if proven == len(standings):
        return (
            f"{_all_files(proven)} passed: the engine makes the diagnoses of the fp32 reference, within the "
            f"limits set for its precision."
        )
    if not proven:
        return (
            f"{_all_files(len(standings))} passed at export, and nothing speaks against it here; but this machine "
            f"does not compute in that precision, so this run proves nothing of its own."
        )
    return (
        f"{_all_files(len(standings))} passed: {proven} by this run, {len(standings) - proven} by the verdict at "
        f"export, because this machine does not compute in that precision."
    )


def _failure_sentence(failed: dict[str, Standing], total: int) -> str:
    shown = [
        f"{name} ({'' if standing.source == 'here' else 'at export: '}{standing.reason})"
        for name, standing in list(failed.items())[:_NAMED_FAILURES]
    ]
    if len(failed) > _NAMED_FAILURES:
        shown.append(f"{len(failed) - _NAMED_FAILURES} more")
    head = "The model file failed" if total == 1 else f"{len(failed)} of {total} model files failed"
    return f"{head}: {text_from_list(tuple(shown))}."


def _files(count: int) -> str:
    return "1 model file" if count == 1 else f"{count} model files"


def _all_files(count: int) -> str:
    return {1: "The model file", 2: "Both model files"}.get(count, f"All {count} model files")
