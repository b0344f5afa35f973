"""What may be said of each model file after a bench run, and of all of them in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gi_edge.artifacts.results import BenchResult, BundleRun, Comparison, ModelRun, speaking_verdict
from gi_edge.metrics.verdict import Status
from gi_edge.report.formats import text_from_list

_NAMED_FAILURES = 3


@dataclass(frozen=True)
class Standing:
    """The outcome for one model file, and whose word it is."""

    outcome: Status
    source: Literal["here", "export"]
    """here: this run proved or disproved it; export: only the bundle's own verdict speaks of this precision."""
    is_measured: bool
    """Whether this run compared the engine's answers at all."""
    reasons: tuple[str, ...]
    on_probes: bool = False
    """Whether it was held against the reference on probe images ..."""
    computes_on_probes: bool = True
    """... and computed in the precision of its graph there; if not, they show nothing of that precision."""
    is_by_checks: bool = True
    """False if it failed because a comparison with something that is not the truth differs."""

    @property
    def reason(self) -> str:
        """Why it did not pass, in one clause."""
        return "; ".join(self.reasons) or "no reason given"

    @property
    def worst(self) -> str:
        """The first reason, and how many more there are; beside a failed check without the grounds after the colon."""
        more = f"; and {len(self.reasons) - 1} more" if len(self.reasons) > 1 else ""
        first = self.reasons[0] if self.reasons else "no reason given"
        return f"{first if self.is_by_checks and self.outcome == 'fail' else first.partition(': ')[0]}{more}"

    @property
    def words(self) -> str:
        """The table cell: pass, fail or undecided, each perhaps "at export"; else probes only, or not measured."""
        if self.source == "here":
            return self.outcome
        if not self.is_measured and self.outcome == "pass":
            return "probes only" if self.on_probes else "not measured"
        return f"{self.outcome} at export"


def standing_from_model(model: ModelRun) -> Standing:
    """Weigh the verdict of this run against that of the export.

    A failure measured here always counts. A pass measured here counts where the provider computes in the
    precision of the graph; elsewhere, and without a parity pass, the verdict of the export stands. A comparison with
    something that is not the truth cannot make a file pass, but one that differs makes it fail.
    """
    verdict = speaking_verdict(model)
    differences = tuple(map(_difference, (item for item in model.comparisons if not item.is_alike)))
    on_probes = any(item.frames == "probes" for item in model.comparisons)
    if differences and verdict.status != "fail":
        return Standing("fail", "here", model.parity is not None, differences, on_probes, is_by_checks=False)
    source: Literal["here", "export"] = "export" if verdict is model.export_verdict else "here"
    computes = all(item.computes_precision for item in model.comparisons if item.frames == "probes")
    return Standing(verdict.status, source, model.parity is not None, verdict.reasons, on_probes, computes)


def _difference(comparison: Comparison) -> str:
    return f"it differs from {named_against(comparison)}: {'; '.join(comparison.reasons) or 'no reason given'}"


def is_of_reference(comparison: Comparison) -> bool:
    """Return whether the answers were held against the reference, and not against another backend."""
    return comparison.against.startswith("reference")


def named_against(comparison: Comparison) -> str:
    """Return what the answers were held against, as it stands in a sentence."""
    return f"the {comparison.against}" if is_of_reference(comparison) else comparison.against


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


def verdict_from_result(result: BenchResult) -> Literal["pass", "fail", "undecided", "unmeasured"]:
    """Return the worst of the model files; pass if all were compared and this run proved one at least."""
    standings = [standing_from_model(model) for _, _, model in named_models(result)]
    if any(standing.outcome == "fail" for standing in standings):
        return "fail"
    if any(standing.outcome == "undecided" and standing.is_measured for standing in standings):
        return "undecided"
    is_compared = all(standing.is_measured for standing in standings)
    return "pass" if is_compared and any(standing.source == "here" for standing in standings) else "unmeasured"


def sentence_from_result(result: BenchResult) -> str:
    """Return the verdict on all model files in one sentence: all passed, what failed, or what is unknown."""
    standings = {name: standing_from_model(model) for name, _, model in named_models(result)}
    if not standings:
        return "This run measured no model file."
    failed = {name: standing for name, standing in standings.items() if standing.outcome == "fail"}
    if failed:
        return _sentence_of(failed, len(standings), "failed")
    measured = [standing for standing in standings.values() if standing.is_measured]
    files = _files(len(standings))
    if not measured:
        exported = text_from_list(tuple(sorted({standing.outcome for standing in standings.values()}, reverse=True)))
        if all(standing.on_probes for standing in standings.values()):
            shown = _shown_by_probes(sum(item.computes_on_probes for item in standings.values()), len(standings))
            return (
                f"Not proved on patients' frames: {files} answered as the reference on probe images, which {shown}; "
                f"the verdict at export was {exported}."
            )
        return (
            f"Parity was not measured in this run: it timed {files} and says nothing about the answers; "
            f"the verdict at export was {exported}."
        )
    open_ones = {name: item for name, item in standings.items() if item.outcome == "undecided" and item.is_measured}
    if open_ones:
        return _sentence_of(open_ones, len(standings), "could not be judged")
    if len(measured) < len(standings):
        rest = len(standings) - len(measured)
        return (
            f"Of {files}, {len(measured)} passed; parity was not measured in this run for the other "
            f"{'one' if rest == 1 else rest}; see the verdict at export."
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


def _sentence_of(named: dict[str, Standing], total: int, what: str) -> str:
    shown = [
        f"{name} ({'' if standing.source == 'here' else 'at export: '}{standing.worst})"
        for name, standing in list(named.items())[:_NAMED_FAILURES]
    ]
    if len(named) > _NAMED_FAILURES:
        shown.append(f"{len(named) - _NAMED_FAILURES} more")
    head = f"The model file {what}" if total == 1 else f"{len(named)} of {total} model files {what}"
    return f"{head}: {text_from_list(tuple(shown))}."


def _shown_by_probes(computing: int, total: int) -> str:
    if computing == total:
        return "shows that no engine is broken and proves no diagnosis"
    if not computing:
        return "proves no diagnosis, and nothing of their precision, in which this machine does not compute"
    return (
        f"proves no diagnosis: it shows that {computing} of {total} are not broken, and nothing of the precision of "
        "the rest, in which this machine does not compute"
    )


def _files(count: int) -> str:
    return "1 model file" if count == 1 else f"{count} model files"


def _all_files(count: int) -> str:
    return {1: "The model file", 2: "Both model files"}.get(count, f"All {count} model files")
