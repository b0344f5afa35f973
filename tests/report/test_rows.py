from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from gi_edge.metrics.classification import classification_from_labels
from gi_edge.report.panels import class_panels, confusion_panels, sameness_sentence
from gi_edge.report.rows import class_rows, majority_averages, rows_from_bundle
from gi_edge.report.speed_rows import speed_rows


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_majority_averages_are_those_of_a_constant_answer(average):
    truth = np.array([0] * 7 + [2] * 2 + [3] * 4)
    scores = classification_from_labels(truth, truth, ("a", "never", "c", "d"), majority=0)
    expected = precision_recall_fscore_support(
        truth, np.zeros_like(truth), labels=[0, 2, 3], average=average, zero_division=0.0
    )[:3]
    macro, weighted = majority_averages(scores)
    found = macro if average == "macro" else weighted
    assert (found.precision, found.recall, found.f1) == pytest.approx(expected)
    assert macro.f1 == pytest.approx(scores.majority_macro_f1)


def test_majority_class_that_the_test_part_lacks_scores_nothing():
    truth = np.array([1, 1, 2])
    scores = classification_from_labels(truth, truth, ("a", "b", "c"), majority=0)
    assert [average.f1 for average in majority_averages(scores)] == [0.0, 0.0]


def test_undefined_scores_are_dashes_and_true_zeros_are_not():
    truth, answer = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])
    scores = classification_from_labels(truth, answer, ("found", "missed", "absent"), majority=0)
    found, missed, absent = class_rows(scores, scores)
    assert (found.recall, found.precision, found.f1) == ("1.000", "0.500", "0.667")
    assert (missed.support, missed.recall, missed.precision, missed.f1) == ("2", "0.000", "–", "0.000")
    assert (absent.support, absent.recall, absent.precision, absent.f1) == ("0", "–", "–", "–")


def test_model_row_compares_engine_reference_and_majority(make):
    model = make.model("fp16", measured=make.parity(1586, flips=12, max_abs_error=0.04))
    (row,) = rows_from_bundle(make.bundle(model))
    engine, reference = model.parity.engine, model.parity.reference
    assert row.flips == "12 / 1,586"
    assert row.flip_rate_upper95 == "1.2\u00a0%"
    assert row.max_abs_error == "0.04"
    assert row.macro_f1.engine == f"{engine.macro.f1:.3f}" != row.macro_f1.reference
    assert row.macro_f1.reference == f"{reference.macro.f1:.3f}"
    assert row.accuracy.majority == f"{reference.majority_accuracy:.3f}"


def test_model_row_takes_latency_at_batch_1_and_the_best_throughput(make):
    slow, fast = make.speed(1, 100, 24.0), make.speed(8, 70, 96.0)
    (row,) = rows_from_bundle(make.bundle(make.model(speeds=(fast, slow))))
    assert row.p50 == f"{slow.summary.p50_ms:.1f}"
    assert (row.p99, row.count) == ("–", "100")
    assert (row.images_per_second, row.best_batch) == (f"{fast.images_per_second:.1f}", "8")


def test_model_row_without_parity_or_single_frames(make):
    model = make.model(is_speed_only=True, speeds=(make.speed(4, 20),))
    (row,) = rows_from_bundle(make.bundle(model))
    assert {row.flips, row.flip_rate_upper95, row.max_abs_error, row.macro_f1.engine, row.mcc.majority} == {"–"}
    assert {row.p50, row.p90, row.p99, row.count} == {"–"}
    assert row.best_batch == "4"


@pytest.mark.parametrize(
    ("count", "shown"), [(20, ""), (64, "p90"), (130, "p90 p95"), (661, "p90 p95"), (662, "p90 p95 p99")]
)
def test_no_percentile_without_its_count(make, count, shown):
    (row,) = speed_rows(make.bundle(make.model(speeds=(make.speed(1, count),))))
    assert " ".join(name for name in ("p90", "p95", "p99") if getattr(row, name) != "–") == shown
    assert row.p50 != "–"


def test_identical_engines_share_one_matrix_and_one_table(make):
    bundle = make.bundle(make.model(), make.model("fp16"))
    (panel,) = confusion_panels(bundle)
    assert panel.title == "fp32 reference, fp32 engine and fp16 engine"
    assert [table.title for table in class_panels(bundle)] == ["fp32 and fp16"]
    assert sameness_sentence(bundle) == "fp32 and fp16 give the class of the reference on every frame here."


def test_an_engine_that_differs_has_its_own_matrix_and_table(make):
    bundle = make.bundle(make.model(), make.model("fp16", measured=make.parity(flips=7)))
    assert [panel.title for panel in confusion_panels(bundle)] == ["fp32 reference and fp32 engine", "fp16 engine"]
    assert [table.title for table in class_panels(bundle)] == ["fp32", "fp16"]
    assert "fp16 gives another class than the reference on 7 of 400 frames here" in sameness_sentence(bundle)


def test_changes_that_cancel_out_in_the_counts_are_told(make):
    model = make.model("fp16", measured=make.parity(flips=2))
    same = model.parity.model_copy(update={"engine": model.parity.reference})
    bundle = make.bundle(model.model_copy(update={"parity": same}))
    assert sameness_sentence(bundle).endswith("on 2 of 400 frames here; the changes cancel out in these counts.")
