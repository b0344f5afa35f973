"""An evaluation in the terminal, and the sentences that it shares with the page."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest
from evaluations import CAUTION, LONG, NAMES, evaluation, result
from rich.console import Console

from gi_edge.metrics.counts import OVERALL
from gi_edge.metrics.evaluation import Overall, Score
from gi_edge.metrics.uncertainty import Interval
from gi_edge.report.evaluation_cells import (
    SCORE_NAMES,
    frames_words,
    interval_note,
    score_cell,
    score_rows,
    undecided_notes,
)
from gi_edge.report.evaluation_text import table_from_evaluation
from gi_edge.report.evaluation_verdict import comparison_sentences, outcome_from_evaluation, sentence_from_evaluation


def shown(of, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(table_from_evaluation(of))
    return console.file.getvalue()


def lines(of):
    return [" ".join(line.split()) for line in shown(of).splitlines()]


def interval(low=None, high=None, undecided=None):
    method = "percentile bootstrap by group"
    return Interval(low=low, high=high, level=0.95, method=method, resamples=400, n=240, groups=24, undecided=undecided)


def score(value, low=None, high=None, undecided=None):
    return Score(value=value, interval=interval(low, high, undecided))


def with_overall(of, **scores):
    return of.model_copy(update={"overall": of.overall.model_copy(update=scores)})


@pytest.fixture(scope="module")
def usual():
    return evaluation(pixel_free=0.875)


def test_the_heading_names_model_runtime_part_frames_and_groups(usual):
    assert lines(result(usual))[0] == (
        "polyps fp16 · onnxruntime 1.23.2, CPUExecutionProvider · part test · 240 frames of 24 videos"
    )
    assert f"· {CAUTION}" in lines(result(usual))


def test_every_score_is_named_and_stands_beside_its_interval_and_the_baselines(usual):
    assert tuple(SCORE_NAMES) == tuple(Overall.model_fields)
    overall = usual.overall
    accuracy, nll = overall.accuracy, overall.nll
    found = lines(result(usual))
    assert (
        f"Accuracy {accuracy.value:.3f} {accuracy.interval.low:.3f} to {accuracy.interval.high:.3f} 0.496 0.875"
    ) in found
    assert f"NLL, lower is better {nll.value:.3f} {nll.interval.low:.3f} to {nll.interval.high:.3f} – –" in found
    for name in SCORE_NAMES.values():
        assert any(line.startswith(f"{name} ") for line in found), name


def test_the_majority_column_follows_from_the_support(usual):
    rows = dict(zip(SCORE_NAMES, score_rows(usual), strict=True))
    share = usual.baselines.majority_accuracy
    for key, value in {
        "accuracy": share,
        "balanced_accuracy": 1 / 3,
        "macro_precision": share / 3,
        "macro_f1": usual.baselines.majority_macro_f1,
        "weighted_precision": share**2,
        "weighted_recall": share,
        "mcc": 0.0,
    }.items():
        assert rows[key].majority == f"{value:.3f}", key
    assert [key for key, row in rows.items() if row.majority != "–"] == list(OVERALL)


def test_a_majority_class_that_the_model_does_not_know_keeps_its_two_scores(usual):
    baselines = usual.baselines.model_copy(update={"majority_label": "Normal"})
    rows = dict(zip(SCORE_NAMES, score_rows(usual.model_copy(update={"baselines": baselines})), strict=True))
    assert [key for key, row in rows.items() if row.majority != "–"] == ["accuracy", "macro_f1"]


def test_an_absent_pixel_free_baseline_is_said_and_has_no_column():
    found = shown(result(evaluation()))
    assert "There is no pixel-free baseline: names that carry video and frame number" in found
    assert "Pixel-free" not in found


def test_a_class_shows_frames_groups_and_scores(usual):
    item = usual.per_class[0]
    first = f"{item.label} {item.support} {item.sensitivity.value:.3f} {item.specificity.value:.3f}"
    sensitivity, specificity = item.sensitivity.interval, item.specificity.interval
    second = (
        f"{item.groups} {sensitivity.low:.3f} to {sensitivity.high:.3f} {specificity.low:.3f} to "
        f"{specificity.high:.3f} {item.f1.value:.3f} {item.average_precision.value:.3f}"
    )
    found = lines(result(usual))
    at = found.index(f"{first} {item.precision.value:.3f} {item.auroc.value:.3f}")
    assert found[at + 1] == second


def test_undecided_intervals_say_so_and_why():
    few = evaluation(counts=(40, 30, 3), groups=12)
    found = lines(result(few))
    assert any(re.fullmatch(r"Macro-F1 0\.\d{3} too few to decide 0\.\d{3}", line) for line in found)
    assert found.count("· Too few groups to decide: 3 groups hold Colon polyps; at least 5 are needed.") == 2
    assert any(line.startswith("Macro-F1 0.") and "(95 % interval: too few to decide)" in line for line in found)


def test_too_few_groups_leave_no_interval_at_all():
    found = lines(result(evaluation(groups=7)))
    assert "· Too few groups to decide: 7; at least 10 are needed." in found
    assert not [line for line in found if re.search(r"\d to 0\.", line)]


def test_perfect_and_absent_classes_are_told_apart():
    found = lines(result(evaluation(groups=12, skill=60.0, counts=(40, 30, 0))))
    assert "Accuracy 1.000 no spread 0.571" in found
    assert "Colon polyps 0 – 1.000 – –" in found
    assert "0 no frame no spread – –" in found
    assert "· No frame of Colon polyps." in found
    assert "· –: this part does not define the score." in found
    assert any("accuracy is 1 in every resample" in line for line in found)


def test_without_groups_frames_are_resampled_and_no_column_stands_for_them():
    alone = evaluation(groups=None)
    assert frames_words(alone) == "240 frames, no video or patient known"
    assert "· 240 frames, no video or patient known" in " ".join(lines(result(alone)))
    assert "Videos" not in shown(result(alone))
    assert "resamples frame by frame, 400 times (100 times for AUROC and average precision, ECE" in interval_note(alone)
    assert "intervals are too narrow" in interval_note(alone)


def test_the_interval_note_names_what_is_drawn(usual):
    assert interval_note(usual).replace("\u00a0", " ") == (
        "Intervals: 95 %, percentile bootstrap that resamples each video with all its frames, 400 times "
        "(100 times for AUROC and average precision)."
    )


def test_the_first_sentence_is_honest():
    scored = with_overall(
        evaluation(n=214, groups=120, noun="near-duplicate cluster"), macro_f1=score(0.8113, 0.7561, 0.8602)
    )
    baselines = scored.baselines.model_copy(update={"majority_macro_f1": 0.13})
    sentence = sentence_from_evaluation(scored.model_copy(update={"baselines": baselines}))
    assert sentence.replace("\u00a0", " ") == (
        "Macro-F1 0.811 (95 % interval 0.756 to 0.860) on 214 frames of 120 near-duplicate clusters; always answering "
        "“Normal mucosa” scores 0.130."
    )


@pytest.mark.parametrize(
    ("macro_f1", "accuracy", "kind", "outcome", "words"),
    [
        (score(0.8, 0.7, 0.9), score(0.9, 0.8, 0.95), "group", "pass", "Both intervals lie above these baselines."),
        (score(0.8, 0.7, 0.9), score(0.9, 0.8, 0.95), "frame", "unmeasured", "Both intervals lie above"),
        (score(0.8, 0.7, 0.9), score(0.9, 0.8, 0.95), "cluster", "unmeasured", "Both intervals lie above"),
        (score(0.8, 0.7, 0.9), score(0.7, 0.6, 0.8), "group", "fail", "In accuracy the model is no better than"),
        (
            score(0.2, 0.1, 0.3),
            score(0.7, 0.6, 0.8),
            "group",
            "fail",
            "In macro-F1 and accuracy the model is no better",
        ),
        (score(0.8, 0.1, 0.9), score(0.9, 0.8, 0.95), "group", "unmeasured", "In macro-F1 these frames cannot show"),
        (
            score(0.8, undecided="too few groups to decide: 2, at least 10 are needed"),
            score(0.9, 0.8, 0.95),
            "group",
            "unmeasured",
            "In macro-F1 these frames cannot show",
        ),
    ],
)
def test_the_model_is_judged_against_both_baselines(usual, macro_f1, accuracy, kind, outcome, words):
    baselines = usual.baselines.model_copy(update={"majority_macro_f1": 0.3, "pixel_free_accuracy": 0.75})
    scored = with_overall(usual, macro_f1=macro_f1, accuracy=accuracy).model_copy(update={"baselines": baselines})
    assert outcome_from_evaluation(result(scored, split_kind=kind)) == outcome
    assert words in comparison_sentences(scored)
    assert "scores 0.750 accuracy; the model scores" in comparison_sentences(scored)


@pytest.mark.parametrize(
    ("key", "given", "value", "interval_text"),
    [
        ("accuracy", score(0.9999, 0.9991, 1.0), "0.999", "0.999 to 1.000"),
        ("mcc", score(-0.02, -0.1, 0.06), "-0.020", "-0.100 to 0.060"),
        ("nll", score(1.25, 1.0, 1.5), "1.250", "1.000 to 1.500"),
        ("f1", score(None, undecided="no frame of a: b"), "–", "no frame"),
        ("f1", score(1.0, undecided="no spread to decide by: f1 is 1 in every resample"), "1.000", "no spread"),
        (
            "f1",
            score(0.5, undecided="too few frames to decide: 3, at least 10 are needed"),
            "0.500",
            "too few to decide",
        ),
    ],
)
def test_cells_never_round_up_to_all_and_are_never_blank(key, given, value, interval_text):
    cell = score_cell(key, given)
    assert (cell.value, cell.interval) == (value, interval_text)


@pytest.mark.parametrize(
    ("reasons", "notes"),
    [
        ([None], ()),
        (["no frame of A", "no frame of A", "no frame of B"], ("No frame of A.", "No frame of B.")),
        (
            [
                f"too few groups to decide: {who}, at least 5 are needed"
                for who in ("1 group holds A, b", "2 groups hold C")
            ],
            ("Too few groups to decide: 1 group holds A, b, 2 groups hold C; at least 5 are needed.",),
        ),
        (
            ["no spread to decide by: macro_f1 is 1 in every resample"],
            ("No spread to decide by: macro f1 is 1 in every resample.",),
        ),
    ],
)
def test_reasons_are_gathered(reasons, notes):
    assert undecided_notes(score(None, undecided=reason) for reason in reasons) == notes


@pytest.mark.parametrize("names", [NAMES, LONG, tuple("x" * 60 + str(i) for i in range(27))])
def test_fits_100_columns_and_loses_no_name(names):
    text = shown(result(evaluation(names, 400)))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    together = re.sub(r"\s+", "", text)
    assert re.sub(r"\s+", "", names[-1])[:20] in together


def test_names_are_text_and_not_markup():
    assert "Ulcer <3 mm & [b]flat[/b]" in shown(result(evaluation()))


def test_licences_that_forbid_commercial_use_are_said():
    text = " ".join(shown(result(dataset_licence="research only, non-commercial")).split())
    assert "licence of the backbone (CC BY-NC 4.0); the model contains its weights." in text
    assert "licence of the dataset (research only, non-commercial); the model was trained on it." in text
    assert "Commercial use" not in shown(result(backbone_licence="Apache-2.0"))


def test_the_terminal_needs_no_matplotlib():
    heavy = "{'matplotlib', 'jinja2', 'torch'}"
    code = f"import gi_edge.report.evaluation_text, sys; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
