"""One value that holds every score of a model on a part, with its interval and the baselines."""

from __future__ import annotations

import json

import numpy as np
import pytest
from metrics.tables import random_table
from sklearn import metrics

from gi_edge.config import json_from_value
from gi_edge.errors import DataError
from gi_edge.metrics.calibration import frame_sums
from gi_edge.metrics.evaluation import Baselines, Context, Evaluation, Overall, evaluation_from_predictions
from gi_edge.metrics.resample import Bootstrap, weights_from_copies

BASELINES = Baselines(majority_label="a", majority_accuracy=0.4, majority_macro_f1=0.2, pixel_free_accuracy=None)
CONTEXT = Context(
    model="polyps",
    part="test",
    group_noun="video",
    baselines=BASELINES,
    bootstrap=Bootstrap(resamples=150, frame_resamples=120, seed=3),
)


def evaluate(table, groups=None):
    return evaluation_from_predictions(table.truth, table.probabilities, table.classes, CONTEXT, groups)


@pytest.mark.parametrize("grouped", [True, False])
def test_every_score_is_there_with_what_it_rests_on(grouped):
    table = random_table(0, n=400)
    found = evaluate(table, table.groups if grouped else None)
    assert (found.model, found.part, found.n, found.classes) == ("polyps", "test", 400, ("a", "b", "c", "d"))
    assert (found.groups, found.group_noun) == ((20, "video") if grouped else (None, None))
    assert (found.baselines, found.bootstrap) == (BASELINES, CONTEXT.bootstrap)
    assert np.array_equal(found.confusion, metrics.confusion_matrix(table.truth, table.answer))
    assert [item.support for item in found.per_class] == np.bincount(table.truth).tolist()
    assert sum(item.count for item in found.reliability) == 400
    for name in Overall.model_fields:
        score = getattr(found.overall, name)
        assert score.interval.low < score.value < score.interval.high, name
        assert score.interval.groups == found.groups
    assert found.per_class[0].groups == (20 if grouped else None)


def test_points_are_those_of_scikit_learn():
    table = random_table(3)
    found = evaluate(table).overall
    truth, answer, probabilities = table.truth, table.answer, table.probabilities
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(truth, answer), rel=1e-12)
    assert found.macro_f1.value == pytest.approx(metrics.f1_score(truth, answer, average="macro"), rel=1e-12)
    assert found.nll.value == pytest.approx(metrics.log_loss(truth, probabilities), rel=1e-12)
    auroc = metrics.roc_auc_score(truth, probabilities, multi_class="ovr")
    assert found.macro_auroc.value == pytest.approx(auroc, rel=1e-12)


def test_intervals_of_probabilities_are_those_of_a_loop_over_the_drawn_frames():
    table = random_table(1, groups=15)
    found = evaluate(table, table.groups)
    units = np.unique(table.groups, return_inverse=True)[1]
    weights = np.concatenate(list(weights_from_copies(np.ones(15, dtype=int), 150, 3, width=1)))[:, units].astype(int)
    drawn = [np.repeat(np.arange(300), weight) for weight in weights]
    brier = [frame_sums(table.truth[rows], table.probabilities[rows])[:, -2].mean() for rows in drawn]
    ece = [
        abs(frame_sums(table.truth[rows], table.probabilities[rows])[:, :-2].sum(0)).sum() / len(rows) for rows in drawn
    ]
    auroc = [metrics.roc_auc_score(table.truth[rows] == 0, table.probabilities[rows, 0]) for rows in drawn[:120]]
    macro = [
        np.mean(
            [metrics.average_precision_score(table.truth[rows] == i, table.probabilities[rows, i]) for i in range(4)]
        )
        for rows in drawn[:120]
    ]
    for score, expected in (
        (found.overall.brier, brier),
        (found.overall.ece, ece),
        (found.per_class[0].auroc, auroc),
        (found.overall.macro_average_precision, macro),
    ):
        assert (score.interval.low, score.interval.high) == pytest.approx(
            np.quantile(expected, [0.025, 0.975]), rel=1e-9
        )
        assert score.interval.resamples == len(expected)


def test_an_absent_class_has_no_value_and_says_why():
    table = random_table(2, classes=4)
    truth = np.where(table.truth == 3, 0, table.truth)
    absent = evaluate(table._replace(truth=truth)).per_class[3]
    assert absent.support == 0
    for score in (absent.sensitivity, absent.precision, absent.f1, absent.auroc, absent.average_precision):
        assert (score.value, score.interval.low, score.interval.undecided) == (None, None, "no frame of d")
    assert 0 < absent.specificity.value < 1


def test_a_part_of_one_class_and_few_frames_is_an_answer():
    found = evaluation_from_predictions(np.zeros(3, dtype=int), np.full((3, 2), 0.5), ("a", "b"), CONTEXT)
    assert (found.overall.accuracy.value, found.overall.mcc.value, found.overall.macro_auroc.value) == (1.0, 0.0, None)
    assert found.per_class[0].specificity.value is None
    assert found.overall.ece.interval.undecided == "too few frames to decide: 3, at least 10 are needed"
    found = evaluation_from_predictions(np.zeros(30, dtype=int), np.full((30, 2), 0.5), ("a", "b"), CONTEXT)
    assert found.per_class[0].auroc.interval.undecided == "no frame of any class but a"
    assert found.overall.macro_auroc.interval.undecided == "no frame of any class but a"


def test_it_survives_json_and_half_precision_probabilities_are_taken():
    table = random_table(4)
    found = evaluate(table._replace(probabilities=table.probabilities.astype(np.float16)), table.groups)
    assert Evaluation.model_validate(json.loads(json_from_value(found))) == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:299], "probabilities: shape \\(299, 4\\), wanted \\(300, 4\\) → pass one row per frame"),
        (lambda p: np.where(np.arange(300)[:, None] == 7, np.nan, p), "1 of 300 frames have NaN .* first frame 7 → "),
        (lambda p: np.log(p), "frame 0: 300 of 300 rows are no probabilities .* → pass the softmax of the logits"),
        (lambda p: 2 * p, "this one sums to 2\\) → pass the softmax"),
    ],
)
def test_what_is_no_probability_is_refused(change, message):
    table = random_table(0)
    with pytest.raises(DataError, match=message):
        evaluation_from_predictions(table.truth, change(table.probabilities), table.classes, CONTEXT)


def test_a_part_with_one_class_is_scored_and_says_what_is_not_defined():
    probabilities = np.tile([0.7, 0.3], (40, 1))
    probabilities[:5] = [0.2, 0.8]
    found = evaluation_from_predictions(np.zeros(40, dtype=np.int64), probabilities, ("a", "b"), CONTEXT).overall
    assert found.accuracy.value == 35 / 40
    assert found.macro_auroc.value is None
    assert found.macro_auroc.interval.undecided == "no frame of any class but a"
