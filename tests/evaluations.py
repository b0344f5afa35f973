"""Evaluation results on seeded answers, and the predictions that they rest on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.evaluation import EvaluationResult, Predictions
from gi_edge.data.index import Frame
from gi_edge.metrics.evaluation import Baselines, Context, Evaluation, evaluation_from_predictions
from gi_edge.metrics.resample import Bootstrap

NAMES = ("Normal mucosa", "Ulcer <3 mm & [b]flat[/b]", "Colon polyps")
LONG = tuple(f"{number:02} Normal mucosa and vascular pattern in the large bowel" for number in range(27))
BOOTSTRAP = Bootstrap(resamples=400, frame_resamples=100)
CAUTION = "Split by video: the test part holds 24 videos that training never saw."


def answers(
    classes: int, n: int, *, skill: float = 4.0, seed: int = 0, counts: tuple[int, ...] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return truth [n], class 0 the most frequent or as counted, and probabilities [n, classes]."""
    random = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, classes + 1)
    truth = np.repeat(np.arange(classes), counts) if counts else random.choice(classes, n, p=weights / weights.sum())
    logits = random.normal(0.0, 1.5, (len(truth), classes))
    logits[np.arange(len(truth)), truth] += skill
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return truth.astype(np.int64), (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)


def baselines_of(truth: NDArray[np.int64], names: tuple[str, ...], pixel_free: float | None = None) -> Baselines:
    """Return the baselines where class 0 is the most frequent of the training part."""
    share = float((truth == 0).mean())
    return Baselines(
        majority_label=names[0],
        majority_accuracy=share,
        majority_macro_f1=2 * share / (1 + share) / len(np.unique(truth)),
        pixel_free_accuracy=pixel_free,
    )


def evaluation(
    names: tuple[str, ...] = NAMES,
    n: int = 240,
    *,
    groups: int | None = 24,
    pixel_free: float | None = None,
    noun: str = "video",
    **answered: object,
) -> Evaluation:
    """Score seeded answers; frame i is of group i modulo groups."""
    truth, probabilities = answers(len(names), n, **answered)  # type: ignore[arg-type]
    context = Context(
        model="polyps fp16",
        part="test",
        group_noun=None if groups is None else noun,
        baselines=baselines_of(truth, names, pixel_free),
        bootstrap=BOOTSTRAP,
    )
    of = None if groups is None else [f"v{i % groups}" for i in range(len(truth))]
    return evaluation_from_predictions(truth, probabilities, names, context, of)


def result(scored: Evaluation | None = None, **changed: object) -> EvaluationResult:
    fields = {
        "created": "2026-03-04T05:06:07+00:00",
        "gi_edge_version": "0.1.0",
        "name": "polyps",
        "source": "bundle",
        "precision": "fp16",
        "runtime": "onnxruntime 1.23.2, CPUExecutionProvider",
        "dataset": "Polyps & more",
        "dataset_licence": "CC BY 4.0",
        "backbone": "convnextv2_tiny",
        "backbone_licence": "CC BY-NC 4.0",
        "split_kind": "group",
        "split_caution": CAUTION,
        "split_fingerprint": "ab" * 32,
        "evaluation": scored or evaluation(),
    }
    return EvaluationResult.model_validate({**fields, **changed})


def predictions(truth: NDArray[np.int64], probabilities: NDArray[np.float32], root: Path) -> Predictions:
    """Return predictions on frames named 000.png and so on below root; no file is written."""
    frames = tuple(
        Frame(id=f"c{label}/{number:03}.png", path=root / f"{number:03}.png", label=int(label), group=None)
        for number, label in enumerate(truth)
    )
    return Predictions(frames, probabilities, "bundle", "fp16", "onnxruntime 1.23.2, CPUExecutionProvider")
