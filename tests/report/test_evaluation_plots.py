"""Figures of an evaluation."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from evaluations import BOOTSTRAP, LONG, NAMES, baselines_of, evaluation

from gi_edge.metrics.evaluation import Context, evaluation_from_predictions
from gi_edge.report.evaluation_plots import calibration_words, class_plot, reliability_plot, standalone_svg

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text")]


def sure(confidences, right):
    """An evaluation of two classes, true in turn, whose answers have these confidences and are right as said."""
    truth = np.arange(len(confidences)) % 2
    first = np.where((truth == 0) == right, confidences, 1 - np.asarray(confidences))
    probabilities = np.column_stack([first, 1 - first])
    baselines = baselines_of(truth, ("a", "b"))
    context = Context(model="m", part="test", group_noun=None, baselines=baselines, bootstrap=BOOTSTRAP)
    return evaluation_from_predictions(truth, probabilities, ("a", "b"), context)


def markers(svg):
    """Whether each point of the diagram is filled, from left to right."""
    return ["fill-opacity: 0" not in style for style in re.findall(r'<use [^>]*style="([^"]*--series-1[^"]*)"', svg)]


@pytest.fixture(scope="module")
def usual():
    return evaluation(counts=(150, 60, 30), skill=2.5)


@pytest.mark.parametrize(
    ("confidence", "right", "words"),
    [
        (0.9, 0.5, "Overconfident on average: mean confidence 0.900, accuracy 0.500"),
        (1.0, 1.0, "Neither over- nor underconfident on average: mean confidence 1.000, accuracy 1.000"),
        (0.6, 1.0, "Underconfident on average: mean confidence 0.600, accuracy 1.000"),
    ],
)
def test_calibration_in_words(confidence, right, words):
    found = calibration_words(sure([confidence] * 40, np.arange(40) < 40 * right))
    assert found[0].startswith(f"ECE {abs(confidence - right):.3f} (")
    assert found[1] == words


def test_reliability_says_the_error_with_its_interval(usual):
    ece = usual.overall.ece
    found = [text.replace("\u00a0", " ") for text in texts(reliability_plot(usual, name="r"))]
    assert f"ECE {ece.value:.3f} (95 % interval {ece.interval.low:.3f} to {ece.interval.high:.3f})" in found
    for text in ("share of right answers", "confidence: probability of the answer", "frames"):
        assert text in found


def test_an_undecided_calibration_error_says_so():
    assert "(too few to decide)" in calibration_words(evaluation(groups=4))[0]


def test_bins_of_few_frames_are_hollow_and_empty_bins_absent():
    svg = reliability_plot(sure([0.55] * 19 + [0.97] * 20, [True] * 39), name="r")
    assert markers(svg) == [False, True]


def test_class_bars_show_every_class_value_and_support(usual):
    found = texts(class_plot(usual, name="c"))
    for item in usual.per_class:
        for score in (item.sensitivity, item.specificity):
            assert f"{score.value:.3f}" in found
    assert "Normal mucosa\u00a0(150\u00a0/\u00a024)" in found
    assert {"Sensitivity", "Specificity", "class (frames / videos)"} <= set(found)


def test_undecided_bars_are_pale_and_say_so():
    svg = class_plot(evaluation(counts=(60, 40, 3), groups=12, skill=2.0), name="c")
    assert sum(text.endswith(", too few to decide") for text in texts(svg)) == 1
    assert len(re.findall(r"opacity: 0\.35", svg)) == 1
    assert "opacity: 0.35" not in class_plot(evaluation(counts=(60, 40, 30), groups=12, skill=2.0), name="c")


def test_a_class_without_frames_has_words_and_no_bar():
    found = texts(class_plot(evaluation(counts=(60, 40, 0), groups=12), name="c"))
    assert "no frame" in found
    assert "Colon polyps\u00a0(0\u00a0/\u00a00)" in found


def test_without_groups_only_frames_are_counted():
    found = texts(class_plot(evaluation(groups=None, counts=(60, 40, 30)), name="c"))
    assert "class (frames)" in found
    assert "Normal mucosa\u00a0(60)" in found


@pytest.mark.parametrize("names", [NAMES[:2], LONG])
def test_two_to_twenty_seven_classes_with_long_names(names):
    scored = evaluation(names, 900, groups=43)
    found = "".join(texts(class_plot(scored, name="c")))
    bare = re.sub(r"\s", "", found)
    for item in scored.per_class:
        assert re.sub(r"\s", "", f"{item.label}({item.support}/{item.groups})") in bare


@pytest.mark.parametrize("plot", [reliability_plot, class_plot])
def test_equal_input_gives_equal_bytes_and_text_stays_text(usual, plot):
    svg = plot(usual, name="p")
    assert svg == plot(usual.model_copy(deep=True), name="p")
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert all(name.startswith("p-") for name in re.findall(r'\bid="([^"]+)"', svg))


@pytest.mark.parametrize("plot", [reliability_plot, class_plot])
def test_a_file_of_its_own_stands_on_white_and_needs_no_page(usual, plot):
    alone = standalone_svg(plot(usual, name="p"))
    root = ET.fromstring(alone.encode())
    ground = root[0]
    assert ground.tag == f"{SVG}rect"
    assert (ground.get("width"), ground.get("height"), ground.get("fill")) == ("100%", "100%", "#ffffff")
    assert "var(" not in alone
    assert "currentColor" not in alone
    assert "#2a78d6" in alone
    assert texts(alone.encode()) == texts(plot(usual, name="p"))


def test_a_missing_namespace_is_added():
    alone = standalone_svg('<svg width="1"><use xlink:href="#a" fill="currentColor"/></svg>')
    assert 'xmlns="http://www.w3.org/2000/svg"' in alone
    assert 'xmlns:xlink="http://www.w3.org/1999/xlink"' in alone
    assert ET.fromstring(alone.encode()).tag == f"{SVG}svg"
