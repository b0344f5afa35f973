"""The front matter of a model card, as the Hugging Face hub reads it."""

from __future__ import annotations

import re

from huggingface_hub import EvalResult, ModelCardData

from gi_edge.artifacts.adapter import AdapterManifest
from gi_edge_training.card_method import library_of, tags_of

_LICENCES = {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"}
"""Ids of the hub that a licence may be written as, spaces and case aside; all others are "other"."""

_METRICS = {
    "macro_f1": ("f1", "Macro-F1"),
    "accuracy": ("accuracy", "Accuracy"),
    "mcc": ("matthews_correlation", "MCC, multi-class"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced accuracy"),
    "ece": ("ece", "ECE"),
}
"""By field of Overall: the hub's name of the metric, and ours."""


def front_matter_from_manifest(manifest: AdapterManifest) -> str:
    """Return the YAML between the two lines of dashes."""
    licence, licence_name = _licence(manifest.backbone.licence, manifest.dataset.licence)
    data = ModelCardData(
        model_name=manifest.name,
        library_name=library_of(manifest),
        pipeline_tag="image-classification",
        tags=list(tags_of(manifest)),
        base_model=_base_model(manifest.backbone.weights),
        datasets=[manifest.dataset.name],
        eval_results=_results(manifest),
        metrics=[metric for metric, _ in _METRICS.values()],
        license=licence,
        license_name=licence_name,
    )
    return str(data.to_yaml())


def _base_model(weights: str) -> str | None:
    """Return the hub's id of the base weights, or None where they are no model of the hub."""
    source, _, tag = weights.partition(":")
    return f"timm/{tag}" if source == "timm" else None


def _licence(backbone: str, dataset: str) -> tuple[str, str | None]:
    """Return the hub's id of the licence where weights and data share it, else "other" and a name for both.

    Under which terms the adapter itself may be passed on is for its makers to say; this only carries what it rests on.
    """
    ids = [re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-.") for licence in (backbone, dataset)]
    if ids[0] == ids[1] and ids[0] in _LICENCES:
        return ids[0], None
    known = all(found in _LICENCES for found in ids)
    return "other", f"weights-{ids[0]}-data-{ids[1]}" if known else "see-the-card"


def _results(manifest: AdapterManifest) -> list[EvalResult]:
    overall = manifest.evaluation.overall
    found = {field: getattr(overall, field).value for field in _METRICS}
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=manifest.dataset.name,
            dataset_name=manifest.dataset.name,
            dataset_split=manifest.evaluation.part,
            metric_type=metric,
            metric_name=name,
            metric_value=round(found[field], 4),
        )
        for field, (metric, name) in _METRICS.items()
        if found[field] is not None
    ]
