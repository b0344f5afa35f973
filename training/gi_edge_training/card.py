"""The model card that an adapter carries."""

from __future__ import annotations

from gi_edge.artifacts.adapter import AdapterManifest
from gi_edge.metrics.evaluation import Evaluation, Score
from gi_edge_training.card_method import library_of, tags_of, use_words, what_was_trained


def card_from_manifest(manifest: AdapterManifest) -> str:
    """Return the README.md of an adapter: what it is, what it scored, what it does not show."""
    evaluation = manifest.evaluation
    return f"""---
library_name: {library_of(manifest)}
tags: [{", ".join(tags_of(manifest))}]
---

# {manifest.name}

{what_was_trained(manifest)}

Research use. Not a medical device; no clinical claim is made.

| | |
|---|---|
| Classes, in the order of the logits | {", ".join(manifest.classes)} |
| Data | {manifest.dataset.name}, {manifest.dataset.frames} frames, {len(manifest.dataset.unreadable)} unreadable |
| Licence of the data | {manifest.dataset.licence} |
| Licence of the base weights | {manifest.backbone.licence} |
| Input | {manifest.preprocess.size_px} × {manifest.preprocess.size_px} px RGB, {manifest.preprocess.fit} |
| Train / validation / test | {manifest.split.train} / {manifest.split.val} / {manifest.split.test} frames |

{manifest.split.caution}

## Scores on the test part

n = {evaluation.n} frames{_groups_words(evaluation)}. Intervals: {evaluation.bootstrap.level:.0%},
{evaluation.overall.accuracy.interval.method}.

{_score_rows(evaluation)}

Majority baseline: always answers "{evaluation.baselines.majority_label}", the most frequent class of the training part.
{_pixel_free_words(evaluation)}

{_class_rows(evaluation)}

## Use

{use_words(manifest)}

or `gi-edge export --adapter {manifest.name}`.
"""


def _groups_words(evaluation: Evaluation) -> str:
    if evaluation.groups is None:
        return ", no video or patient known"
    return f" of {evaluation.groups} {evaluation.group_noun}{'' if evaluation.groups == 1 else 's'}"


def _pixel_free_words(evaluation: Evaluation) -> str:
    accuracy = evaluation.baselines.pixel_free_accuracy
    if accuracy is None:
        return "Pixel-free baseline: none, since the names do not carry video and frame number."
    rule = "copies the label of the nearest-numbered training frame of the same video"
    return f"Pixel-free baseline: {rule}; accuracy {accuracy:.3f}."


def _score_rows(evaluation: Evaluation) -> str:
    overall, baselines = evaluation.overall, evaluation.baselines
    majority = {"accuracy": baselines.majority_accuracy, "macro_f1": baselines.majority_macro_f1, "mcc": 0.0}
    names = ("macro_f1", "accuracy", "balanced_accuracy", "macro_precision", "macro_recall")
    rows = ["| score | model | 95 % interval | majority baseline |", "|---|---|---|---|"]
    for name in (*names, "weighted_precision", "weighted_recall", "weighted_f1", "mcc"):
        score: Score = getattr(overall, name)
        baseline = f"{majority[name]:.3f}" if name in majority else ""
        rows.append(f"| {_words(name)} | {_value(score)} | {_interval(score)} | {baseline} |")
    return "\n".join(rows)


def _words(name: str) -> str:
    return name.replace("_f1", "-F1").replace("_", " ").replace("mcc", "MCC")


def _value(score: Score) -> str:
    return "–" if score.value is None else f"{score.value:.3f}"


def _interval(score: Score) -> str:
    interval = score.interval
    if interval.low is None or interval.high is None:
        return interval.undecided or "–"
    return f"{interval.low:.3f} to {interval.high:.3f}"


def _class_rows(evaluation: Evaluation) -> str:
    rows = [
        "| class | frames | groups | sensitivity | 95 % interval | specificity | F1 |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {item.label} | {item.support} | {'–' if item.groups is None else item.groups} | "
        f"{_value(item.sensitivity)} | {_interval(item.sensitivity)} | {_value(item.specificity)} | {_value(item.f1)} |"
        for item in evaluation.per_class
    ]
    return "\n".join(rows)
