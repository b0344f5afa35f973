"""The model card that an adapter carries."""

from __future__ import annotations

from gi_edge.artifacts.adapter import AdapterManifest
from gi_edge.metrics.calibration import CALIBRATION
from gi_edge.metrics.evaluation import Evaluation, Score
from gi_edge_training.card_metadata import front_matter_from_manifest
from gi_edge_training.card_method import use_words, what_was_trained
from gi_edge_training.curves import CURVES_FILE


def card_from_manifest(manifest: AdapterManifest) -> str:
    """Return the README.md of an adapter: what it is, what it scored, what it does not show."""
    evaluation = manifest.evaluation
    return f"""---
{front_matter_from_manifest(manifest).strip()}
---

# {manifest.name}

{what_was_trained(manifest)}

Research use. Not a medical device; no clinical claim is made.

## Data

{manifest.dataset.name}: {manifest.dataset.frames} frames{_left_out(manifest)}.{_citation(manifest)}

| | |
|---|---|
| Classes, in the order of the logits | {", ".join(map(_cell, manifest.classes))} |
| Input | {manifest.preprocess.size_px} × {manifest.preprocess.size_px} px RGB, {manifest.preprocess.fit} |

## Split

| training | validation | test |
|---|---|---|
| {manifest.split.train} frames | {manifest.split.val} frames | {manifest.split.test} frames |

{manifest.split.caution}

## Licence

| | |
|---|---|
| Base weights | {_cell(manifest.backbone.licence)} |
| Data | {_cell(manifest.dataset.licence)} |

The adapter was made from both; an exported model contains the base weights.

## Training

![Loss and validation macro-F1 by epoch]({CURVES_FILE})

{len(manifest.history)} of {manifest.config["epochs"]} epochs. The weights are those of epoch {manifest.best_epoch},
the first of highest validation macro-F1, {manifest.val.macro.f1:.3f}.

{_temperature_words(manifest)}

## Scores on the test part

n = {evaluation.n} frames{_groups_words(evaluation)}. Intervals: {evaluation.bootstrap.level:.0%},
{evaluation.overall.accuracy.interval.method}.

{_score_rows(evaluation)}

Majority baseline: always answers "{evaluation.baselines.majority_label}", the most frequent class of the training part.
{_pixel_free_words(evaluation)}

{_class_rows(evaluation)}

## Limits

{limits_from_manifest(manifest)}

## Use

{use_words(manifest)}

or `gi-edge export --adapter {manifest.name}`.
"""


def limits_from_manifest(manifest: AdapterManifest) -> str:
    """Return as a Markdown list what the scores do not show."""
    evaluation, noun = manifest.evaluation, manifest.evaluation.group_noun or "frame"
    undecided = [
        _cell(item.label)
        for item in evaluation.per_class
        if item.sensitivity.interval.low is None or item.sensitivity.interval.high is None
    ]
    items = [
        "All frames are of one data set: the scores show nothing of other hospitals, devices, bowel preparation or "
        "patients.",
        f"The intervals cover which {noun}s came into the test part. They do not cover the luck of one training: "
        "another seed or another split gives another model.",
        "The model answers one of its classes for every image, also for one that shows none of them"
        + (f", such as {', '.join(map(_cell, manifest.dataset.exclude))}." if manifest.dataset.exclude else "."),
        "What it looks at was not examined. Overlay text, borders and other marks of a device can give a class away.",
        "The probabilities hold where classes are as frequent as in the validation part. Where a finding is rarer, as "
        "in screening, its probability is too high, and so is the precision above.",
        "Frames were scored one by one. Nothing is shown for a video, a stretch of frames or a patient.",
    ]
    if undecided:
        items.append(f"Too few test frames to put an interval around the sensitivity of: {', '.join(undecided)}.")
    return "\n".join(f"- {item}" for item in items)


def _left_out(manifest: AdapterManifest) -> str:
    dataset = manifest.dataset
    words = f", {len(dataset.unreadable)} more are unreadable" if dataset.unreadable else ""
    return words + (f"; classes left out: {', '.join(dataset.exclude)}" if dataset.exclude else "")


def _citation(manifest: AdapterManifest) -> str:
    words = " ".join(manifest.dataset.citation.split())
    return f" Source: {words.rstrip('.')}." if words else ""


def _temperature_words(manifest: AdapterManifest) -> str:
    found = manifest.calibration
    if found is None:
        return "No temperature was fitted: the probabilities are the softmax of the logits."
    return (
        f"Probabilities are the softmax of logits / {found.temperature:.3f}, a temperature fitted on the {found.n} "
        f"validation frames (95 % interval {found.low:.2f} to {found.high:.2f}): NLL {found.nll_before:.3f} → "
        f"{found.nll_after:.3f}, ECE {found.ece_before:.3f} → {found.ece_after:.3f} there. It changes no answer."
        + (f" Note: {found.note}." if found.note else "")
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


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
    for name in (*names, "weighted_precision", "weighted_recall", "weighted_f1", "mcc", *CALIBRATION):
        score: Score = getattr(overall, name)
        baseline = f"{majority[name]:.3f}" if name in majority else ""
        rows.append(f"| {_words(name)} | {_value(score)} | {_interval(score)} | {baseline} |")
    return "\n".join(rows)


def _words(name: str) -> str:
    if name in CALIBRATION:
        return f"{name.title() if name == 'brier' else name.upper()}, lower is better"
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
        f"| {_cell(item.label)} | {item.support} | {'–' if item.groups is None else item.groups} | "
        f"{_value(item.sensitivity)} | {_interval(item.sensitivity)} | {_value(item.specificity)} | {_value(item.f1)} |"
        for item in evaluation.per_class
    ]
    return "\n".join(rows)
