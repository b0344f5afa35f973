"""The rows that every rendering shows: results as formatted text, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from gi_edge.artifacts.results import BundleRun, ModelRun
from gi_edge.metrics.classification import Averaged, Classification, ClassScore
from gi_edge.report.formats import (
    NOT_MEASURED,
    text_from_count,
    text_from_error,
    text_from_megabytes,
    text_from_quantity,
    text_from_rate,
    text_from_score,
)
from gi_edge.report.speed_rows import best_throughput, deadline_words, paced_run, single_latency
from gi_edge.report.standing import Standing, labels_from_models, standing_from_model


@dataclass(frozen=True)
class Compared:
    """One score three times: of the engine, of the fp32 reference, and of always answering the majority class."""

    engine: str
    reference: str
    majority: str


@dataclass(frozen=True)
class ModelRow:
    """One model file. Percentiles are of one frame after another, in milliseconds."""

    label: str
    standing: Standing
    flips: str
    """Frames whose class changed, of all frames compared: "0 / 1,586"."""
    flip_rate_upper95: str
    max_abs_error: str
    macro_f1: Compared
    accuracy: Compared
    mcc: Compared
    p50: str
    p90: str
    p99: str
    count: str
    images_per_second: str
    """The best over all batch sizes."""
    best_batch: str
    missed: str
    """Deadlines missed where frames arrive at a fixed rate: "48 / 1,500"."""
    frame_rate: str
    """That rate, in frames per second."""
    megabytes: str
    load_ms: str
    runtime: str
    provider: str


@dataclass(frozen=True)
class ClassRow:
    """One class. A dash stands where the score is undefined: no frame of the class, or no answer of it."""

    label: str
    support: str
    recall: str
    precision: str
    f1: str
    reference_f1: str


def rows_from_bundle(bundle: BundleRun) -> tuple[ModelRow, ...]:
    """Return one row per model file of a bundle, in the order of the result."""
    labels = labels_from_models(bundle.models)
    return tuple(_model_row(label, model) for label, model in zip(labels, bundle.models, strict=True))


def _model_row(label: str, model: ModelRun) -> ModelRow:
    latency = single_latency(model)
    summary = latency.summary if latency else None
    best = best_throughput(model)
    missed, frame_rate = deadline_words(paced_run(model, latency.region if latency else None))
    parity = model.parity.verdict.parity if model.parity else None
    macro_f1, accuracy, mcc = _compared(model)
    return ModelRow(
        label=label,
        standing=standing_from_model(model),
        flips=f"{text_from_count(parity.flips)} / {text_from_count(parity.n)}" if parity else NOT_MEASURED,
        flip_rate_upper95=text_from_rate(parity.flip_rate_upper95) if parity else NOT_MEASURED,
        max_abs_error=text_from_error(parity.max_abs_error) if parity else NOT_MEASURED,
        macro_f1=macro_f1,
        accuracy=accuracy,
        mcc=mcc,
        p50=text_from_quantity(summary.p50_ms if summary else None),
        p90=text_from_quantity(summary.p90_ms if summary else None),
        p99=text_from_quantity(summary.p99_ms if summary else None),
        count=text_from_count(summary.count) if summary else NOT_MEASURED,
        images_per_second=text_from_quantity(best.images_per_second if best else None),
        best_batch=text_from_count(best.batch_size) if best else NOT_MEASURED,
        missed=missed,
        frame_rate=frame_rate,
        megabytes=text_from_megabytes(model.size_bytes),
        load_ms=text_from_quantity(model.load_ms),
        runtime=model.runtime,
        provider=model.provider,
    )


def _compared(model: ModelRun) -> tuple[Compared, Compared, Compared]:
    if model.parity is None:
        nothing = Compared(NOT_MEASURED, NOT_MEASURED, NOT_MEASURED)
        return nothing, nothing, nothing
    engine, reference = model.parity.engine, model.parity.reference
    scores = (
        (engine.macro.f1, reference.macro.f1, reference.majority_macro_f1),
        (engine.accuracy, reference.accuracy, reference.majority_accuracy),
        (engine.mcc, reference.mcc, 0.0),
    )
    macro_f1, accuracy, mcc = (Compared(*map(text_from_score, triple)) for triple in scores)
    return macro_f1, accuracy, mcc


def class_rows(engine: Classification, reference: Classification) -> tuple[ClassRow, ...]:
    """Return one row per class, in class order."""
    return tuple(
        ClassRow(
            label=own.label,
            support=text_from_count(own.support),
            recall=text_from_score(own.recall if own.support else None),
            precision=text_from_score(own.precision if answers else None),
            f1=text_from_score(own.f1 if _has_f1(own, answers) else None),
            reference_f1=text_from_score(other.f1 if _has_f1(other, other_answers) else None),
        )
        for own, answers, other, other_answers in zip(
            engine.classes, _answers(engine), reference.classes, _answers(reference), strict=True
        )
    )


def _answers(scores: Classification) -> tuple[int, ...]:
    """How often each class was the answer."""
    return tuple(sum(column) for column in zip(*scores.confusion, strict=True))


def _has_f1(score: ClassScore, answers: int) -> bool:
    return bool(score.support or answers)


def majority_averages(scores: Classification) -> tuple[Averaged, Averaged]:
    """Return the macro and the weighted scores of always answering the majority class.

    With a share a of the frames and k classes in the truth, that class has precision a, recall 1 and
    F1 2a/(1+a); every other class has 0 throughout.
    """
    share = scores.majority_accuracy
    present = sum(score.support > 0 for score in scores.classes)
    recall, f1 = (1.0, 2 * share / (1 + share)) if share else (0.0, 0.0)
    macro = Averaged(precision=share / present, recall=recall / present, f1=f1 / present)
    return macro, Averaged(precision=share * share, recall=share * recall, f1=share * f1)
