"""Intervals: those of a slow loop over scikit-learn, their coverage, and when there are none."""

from __future__ import annotations

import numpy as np
import pytest
from metrics.tables import random_table
from sklearn import metrics

from gi_edge.errors import DataError
from gi_edge.metrics.counts import OVERALL, PER_CLASS
from gi_edge.metrics.resample import Bootstrap, units_from_cells, weights_from_copies
from gi_edge.metrics.uncertainty import difference_interval, intervals_from_predictions

FEW = Bootstrap(resamples=120, seed=5)


def slow_scores(truth, answer, weight):
    """scikit-learn's scores of weighted frames, averages over the classes that the weights leave in the truth."""
    labels = np.unique(truth[weight > 0])
    kept = weight > 0
    truth, answer, weight = truth[kept], answer[kept], weight[kept]
    scores = {
        "accuracy": metrics.accuracy_score(truth, answer, sample_weight=weight),
        "balanced_accuracy": metrics.recall_score(
            truth, answer, labels=labels, average="macro", sample_weight=weight, zero_division=0.0
        ),
        "mcc": metrics.matthews_corrcoef(truth, answer, sample_weight=weight),
    }
    for average in ("macro", "weighted"):
        found = metrics.precision_recall_fscore_support(
            truth, answer, labels=labels, average=average, sample_weight=weight, zero_division=0.0
        )
        scores |= {f"{average}_{name}": found[i] for i, name in enumerate(("precision", "recall", "f1"))}
    return scores


def slow_class_scores(truth, answer, weight, label):
    kept = weight > 0
    truth, answer, weight = truth[kept] == label, answer[kept] == label, weight[kept]
    specificity = metrics.recall_score(~truth, ~answer, sample_weight=weight)
    if not truth.any():
        return {"specificity": specificity, "sensitivity": np.nan, "precision": np.nan, "f1": np.nan}
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, answer, average="binary", sample_weight=weight, zero_division=0.0
    )
    return {"specificity": specificity, "sensitivity": recall, "precision": precision, "f1": f1}


def drawn_frames(table, by_group):
    """Truth and answer of what can be drawn, and how often each is in each resample of FEW."""
    cells = table.truth * len(table.classes) + table.answer
    units = units_from_cells(cells[:, None], len(table.classes) ** 2, table.groups if by_group else None)
    weights = np.concatenate(list(weights_from_copies(units.copies, FEW.resamples, FEW.seed, width=1)))
    if by_group:
        return table.truth, table.answer, weights[:, np.unique(table.groups, return_inverse=True)[1]]
    return *np.divmod(np.unique(cells), len(table.classes)), weights


def limits(values):
    return pytest.approx(np.nanquantile(values, [0.025, 0.975]), rel=1e-12)


@pytest.mark.parametrize("by_group", [True, False])
def test_intervals_are_those_of_a_loop_over_scikit_learn(by_group):
    table = random_table(1, n=200, classes=3, groups=15)
    truth, answer, weights = drawn_frames(table, by_group)
    groups = table.groups if by_group else None
    found = intervals_from_predictions(table.truth, table.answer, table.classes, groups, FEW)
    slow = [slow_scores(truth, answer, weight) for weight in weights]
    for name in OVERALL:
        assert (found.overall[name].low, found.overall[name].high) == limits([scores[name] for scores in slow]), name
    for label in range(3):
        slow = [slow_class_scores(truth, answer, weight, label) for weight in weights]
        for name in PER_CLASS:
            interval = found.classes[label][name]
            assert (interval.low, interval.high) == limits([scores[name] for scores in slow]), name


def test_an_interval_says_what_it_rests_on():
    table = random_table(0, groups=15)
    by_group = intervals_from_predictions(table.truth, table.answer, table.classes, table.groups, FEW)
    by_frame = intervals_from_predictions(table.truth, table.answer, table.classes, None, FEW)
    for found, groups, method in ((by_group, 15, "group"), (by_frame, None, "frame")):
        interval = found.overall["accuracy"]
        assert (interval.n, interval.groups, interval.level, interval.resamples) == (300, groups, 0.95, 120)
        assert interval.method == f"percentile bootstrap by {method}"
        assert interval.undecided is None


def test_a_resample_that_lacks_a_class_has_no_score_of_it():
    truth = np.array([1] * 5 + [0] * 45)
    answer = np.where(np.arange(50) % 4 == 0, 1 - truth, truth)
    found = intervals_from_predictions(truth, answer, ("a", "b"), [f"v{i}" for i in range(50)], Bootstrap())
    rare = found.classes[1]["sensitivity"]
    assert rare.resamples == pytest.approx(10_000 * (1 - 0.9**50), abs=30)
    assert found.classes[0]["sensitivity"].resamples == 10_000


def clustered(random, groups, frames=25):
    """Truth, answers and groups of two classes; the share of right answers of a group has the mean 2/3."""
    right = np.repeat(random.beta(2, 1, groups), frames) > random.random(groups * frames)
    truth = random.integers(0, 2, groups * frames)
    return truth, np.where(right, truth, 1 - truth), [f"v{i // frames:02}" for i in range(groups * frames)]


@pytest.mark.parametrize(("count", "least"), [(12, 0.86), (40, 0.90)])
def test_coverage_of_clustered_data_is_near_the_level_by_group_and_far_below_by_frame(count, least):
    """Of 300 data sets 95 % has a standard error of 1.3 points; a bootstrap of few groups falls short by a few more."""
    random = np.random.default_rng(0)
    covered = {("by group", "accuracy"): 0, ("by group", "macro_f1"): 0, ("by frame", "accuracy"): 0}
    for seed in range(300):
        truth, answer, groups = clustered(random, count)
        for how, score in covered:
            bootstrap = Bootstrap(resamples=300, seed=seed)
            known = groups if how == "by group" else None
            interval = intervals_from_predictions(truth, answer, ("a", "b"), known, bootstrap).overall[score]
            covered[how, score] += interval.low <= 2 / 3 <= interval.high
    assert least <= covered["by group", "accuracy"] / 300 <= 0.98
    assert least <= covered["by group", "macro_f1"] / 300 <= 0.98
    assert covered["by frame", "accuracy"] / 300 <= 0.65


@pytest.mark.parametrize(
    ("groups", "holders", "score", "reason"),
    [
        (9, 9, "accuracy", "too few groups to decide: 9, at least 10 are needed"),
        (10, 5, "accuracy", None),
        (10, 4, "accuracy", None),
        (10, 5, "macro_f1", None),
        (10, 4, "macro_f1", "too few groups to decide: 4 groups hold polyp, at least 5 are needed"),
        (12, 1, "balanced_accuracy", "too few groups to decide: 1 group holds polyp, at least 5 are needed"),
        (12, 1, "mcc", None),
    ],
)
def test_too_few_groups_to_decide_is_an_answer(groups, holders, score, reason):
    names = np.repeat([f"v{i:02}" for i in range(groups)], 20)
    truth = np.array([int(int(name[1:]) < holders and i % 3 == 0) for i, name in enumerate(names)])
    answer = np.where(np.arange(len(names)) % 7 == 0, 1 - truth, truth)
    found = intervals_from_predictions(truth, answer, ("normal", "polyp"), list(names), FEW)
    interval = found.overall[score]
    assert interval.undecided == reason
    assert (interval.low is None) == (interval.high is None) == (reason is not None)
    if groups >= 10:
        rare = found.classes[1]
        assert (rare["sensitivity"].undecided is None) == (holders >= 5)
        assert rare["specificity"].undecided is None


def test_scores_without_spread_and_classes_without_frames_are_undecided():
    truth = np.array([0, 1] * 20)
    found = intervals_from_predictions(truth, truth, ("a", "b", "c"), None, FEW)
    assert found.overall["accuracy"].undecided == "no spread to decide by: accuracy is 1 in every resample"
    assert found.classes[2]["f1"].undecided == "no frame of c"


def test_a_difference_is_drawn_on_the_same_resamples():
    table = random_table(0, n=200, classes=3, groups=15)
    other = np.where(np.arange(200) % 5 == 0, table.truth, table.answer)
    for groups, by_group in ((table.groups, True), (None, False)):
        found = difference_interval(table.truth, table.answer, other, "macro_f1", groups, FEW)
        expected = [metrics.f1_score(table.truth, answer, average="macro") for answer in (table.answer, other)]
        assert [found.a, found.b] == pytest.approx(expected, rel=1e-12)
        assert found.difference == pytest.approx(expected[1] - expected[0], rel=1e-12)
        assert 0 < found.interval.low < found.difference < found.interval.high
        if by_group:
            truth, answer, weights = drawn_frames(table, by_group=True)
            slow = [
                slow_scores(truth, other, w)["macro_f1"] - slow_scores(truth, answer, w)["macro_f1"] for w in weights
            ]
            assert (found.interval.low, found.interval.high) == limits(slow)


def test_equal_answers_differ_by_nothing_and_a_swap_turns_the_sign():
    table = random_table(1, groups=15)
    same = difference_interval(table.truth, table.answer, table.answer, "mcc", table.groups, FEW)
    assert (same.difference, same.interval.low, same.interval.high) == (0.0, 0.0, 0.0)
    there = difference_interval(table.truth, table.answer, table.truth, "accuracy", table.groups, FEW)
    back = difference_interval(table.truth, table.truth, table.answer, "accuracy", table.groups, FEW)
    assert (there.interval.low, there.interval.high) == pytest.approx((-back.interval.high, -back.interval.low))


def test_the_order_of_the_frames_does_not_matter_and_the_seed_does():
    table = random_table(2)
    shuffled = np.random.default_rng(0).permutation(300)
    groups = [table.groups[i] for i in shuffled]
    first = intervals_from_predictions(table.truth, table.answer, table.classes, table.groups, FEW)
    assert (
        intervals_from_predictions(table.truth[shuffled], table.answer[shuffled], table.classes, groups, FEW) == first
    )
    other = FEW.model_copy(update={"seed": 6})
    assert intervals_from_predictions(table.truth, table.answer, table.classes, table.groups, other) != first


LABELS = np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("truth", "answer", "groups", "message"),
    [
        (LABELS, LABELS[:2], None, "answer: 2 entries for 3 frames → pass one entry of answer per frame"),
        (LABELS, LABELS, ["v1"], "groups: 1 entries for 3 frames → pass one entry of groups per frame"),
        (LABELS, LABELS, ["v1", "", ""], "2 of 3 frames have no group → name the group of every frame, or pass groups"),
        (LABELS * 2, LABELS, None, "truth: frame 1 has class index 2, but there are 2 classes \\(2 such frames\\) → "),
        (LABELS, -LABELS, None, "answer: frame 1 has class index -1"),
        (LABELS / 2, LABELS, None, "truth: float64, wanted int64 → pass truth.astype\\(np.int64\\)"),
        (LABELS.astype(np.uint8), LABELS, None, "truth: uint8, wanted int64"),
        (LABELS[:0], LABELS[:0], None, "truth: shape \\(0,\\), wanted \\[n\\] with n ≥ 1"),
    ],
)
def test_input_that_does_not_fit_is_refused(truth, answer, groups, message):
    with pytest.raises(DataError, match=message):
        intervals_from_predictions(truth, answer, ("a", "b"), groups, FEW)


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(DataError, match="metric 'macro_f' is not known → did you mean 'macro_f1'"):
        difference_interval(LABELS, LABELS, LABELS, "macro_f")
