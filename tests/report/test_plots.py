from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest

from gi_edge.artifacts.speed import Deadlines
from gi_edge.metrics.latency import latency_summary
from gi_edge.report.plots import cell_strength, confusion_plot
from gi_edge.report.speed_plots import deadline_plot, latency_plot, missed_shares, throughput_plot, throughputs

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text")]


def confusion_of(scores, name):
    return confusion_plot(scores.confusion, [score.label for score in scores.classes], name=name)


def all_plots(make, name="p"):
    models = (make.model(speeds=(make.speed(1), make.speed(8, 80, 150.0))), make.model("fp16"))
    return {
        "latency": latency_plot(models, "host", name=f"{name}-latency"),
        "throughput": throughput_plot(models, name=f"{name}-throughput"),
        "confusion": confusion_of(make.scores(make.NAMES), name=f"{name}-confusion"),
    }


def test_equal_input_gives_equal_bytes(make):
    assert all_plots(make) == all_plots(make)


def test_the_users_style_is_neither_used_nor_changed(make):
    plain = all_plots(make)
    with matplotlib.rc_context({"font.size": 40, "axes.facecolor": "red", "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert all_plots(make) == plain
        assert dict(matplotlib.rcParams) == before


def test_pyplot_is_never_loaded():
    code = "import gi_edge.report.html, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_of_one_page_share_no_id_and_resolve_their_references(make):
    plots = [*all_plots(make, "a").values(), *all_plots(make, "b").values()]
    ids = [name for svg in plots for name in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(ids) == len(set(ids)) > 0
    for svg in plots:
        used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
        assert used <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_figures_load_nothing_have_no_ground_and_follow_the_page(make):
    for svg in all_plots(make).values():
        assert set(re.findall(r"https?://[^\"\s]+", svg)) == {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }
        assert "<style" not in svg
        assert "DejaVu" not in svg
        assert "#ffffff" not in svg
        assert "currentColor" in svg
        assert ET.fromstring(svg).get("role") == "img"
    assert "var(--series-2, #eb6834)" in all_plots(make)["throughput"]


@pytest.mark.parametrize("size", [2, 14, 15, 27])
def test_confusion_shows_every_class_and_count(make, size):
    names = tuple(f"class {number}" for number in range(size))
    scores = make.scores(names, n=1500)
    found = texts(confusion_of(scores, name="c"))
    counts = [str(count) for row in scores.confusion for count in row if count]
    assert [text for text in found if text.isdigit()] == counts
    for score in scores.classes:
        assert score.label in found
        assert f"{score.label}\u00a0({score.support:,})" in found


def test_confusion_colour_grows_with_the_share_of_the_row():
    svg = confusion_plot(((6, 2), (0, 4)), ("a", "b"), name="c")
    strengths = re.findall(r"fill: var\(--cell, #184f95\)(?:; opacity: ([\d.]+))?", svg)
    assert [float(strength or 1) for strength in strengths] == [cell_strength(0.75), cell_strength(0.25), 1.0]
    assert [cell_strength(share) for share in (0, 0.35, 0.7, 0.85, 1)] == [0, 0.3, 0.8, 0.9, 1]


@pytest.mark.parametrize(
    "label", ["Barrett's esophagus", "Ulcer <3 mm & flat", "cost $x_1$ $", "#184f95", "ポリープ", ""]
)
def test_class_names_stand_as_they_are(make, label):
    svg = confusion_of(make.scores((label, "other")), name="c")
    assert (label or " ") in texts(svg)


def test_long_class_names_are_broken_into_lines_that_lose_nothing(make):
    label = "Normal mucosa and vascular pattern in the large bowel"
    found = texts(confusion_of(make.scores((label, "other")), name="c"))
    assert "Normal mucosa and vascular" in found
    assert "pattern in the large bowel" in found


def test_latency_shows_percentiles_with_their_count_and_dashes(make):
    models = (make.model(speeds=(make.speed(1, 700),)), make.model("fp16", speeds=(make.speed(1, 70),)))
    found = texts(latency_plot(models, "host", name="l"))
    full, short = (model.speeds[0].summary for model in models)
    assert f"p50 {full.p50_ms:.1f} · p90 {full.p90_ms:.1f} · p99 {full.p99_ms:.1f} ms · 700 samples" in found
    assert f"p50 {short.p50_ms:.1f} · p90 {short.p90_ms:.1f} · p99 – ms · 70 samples" in found
    assert "milliseconds per frame, pixels to logits" in found


def test_wide_latencies_get_a_logarithmic_axis(make):
    models = (
        make.model(speeds=(make.speed(1, 70, 3.0),)),
        make.model("fp16", speeds=(make.speed(1, 70, 90.0),)),
    )
    found = texts(latency_plot(models, "host", name="l"))
    assert "milliseconds per frame, pixels to logits, logarithmic" in found
    assert {"5", "10", "20", "50", "100"} <= set(found)


@pytest.mark.parametrize("samples", [[5.0], [5.0, 5.0], [0.0, 0.0], [0.0, 900.0]])
def test_latency_of_few_equal_or_zero_samples(make, samples):
    summary = latency_summary(np.array(samples))
    one = make.speed(1, 2).model_copy(update={"samples_ms": tuple(samples), "summary": summary})
    found = texts(latency_plot((make.model(speeds=(one,)),), "host", name="l"))
    assert any(text.endswith(f"{len(samples)} samples") for text in found)


def test_throughput_names_batches_and_models(make):
    models = (
        make.model(speeds=tuple(make.speed(size, 70, 20.0 * size) for size in (1, 3, 16))),
        make.model("fp16", speeds=(make.speed(1, 70),)),
    )
    found = texts(throughput_plot(models, name="t"))
    assert [text for text in found if text in {"1", "3", "16"}] == ["1", "3", "16"]
    assert {"fp32", "fp16", "images per second", "batch size, frames"} <= set(found)


def test_throughput_keeps_timed_regions_apart(make):
    speeds = (make.speed(4, 70), make.speed(8, 70), make.speed(8, 70, region="file"))
    found = texts(throughput_plot((make.model(speeds=speeds),), name="t"))
    assert {"fp32, pixels to logits", "fp32, file to label"} <= set(found)


def test_single_frames_stand_for_batch_1_only_where_it_was_not_timed(make):
    single, batch = make.speed(1, 70, 20.0), make.speed(1, 70, 10.0, scenario="offline")
    assert throughputs((make.model(speeds=(single, make.speed(8, 70))),))["fp32"][0][1] == single.images_per_second
    (one, eight) = throughputs((make.model(speeds=(single, batch, make.speed(8, 70))),))["fp32"]
    assert (one, eight[0]) == ((1, batch.images_per_second), 8)


def test_missed_frames_are_shown_by_rate(make):
    late = [
        Deadlines(frame_rate=rate, deadline_ms=1000 / rate, frames=200, missed=missed)
        for rate, missed in ((25, 0), (60, 50))
    ]
    speeds = tuple(make.speed(1, 70, scenario="paced").model_copy(update={"deadlines": item}) for item in late)
    assert missed_shares((make.model(speeds=speeds),)) == {"fp32": [(25, 0.0), (60, 25.0)]}
    found = texts(deadline_plot((make.model(speeds=speeds),), name="d"))
    assert {"25", "60", "100 %", "fp32", "missed frames", "frames that arrive per second"} <= set(found)


def test_missed_frames_of_several_regions_are_lines_of_their_own(make):
    speeds = tuple(
        make.speed(1, 70, scenario="paced", region=region).model_copy(
            update={"deadlines": Deadlines(frame_rate=rate, deadline_ms=1000 / rate, frames=200, missed=missed)}
        )
        for region, rate, missed in (("host", 25, 0), ("host", 60, 20), ("file", 25, 10), ("file", 60, 100))
    )
    assert missed_shares((make.model(speeds=speeds),)) == {
        "fp32, pixels to logits": [(25, 0.0), (60, 10.0)],
        "fp32, file to label": [(25, 5.0), (60, 50.0)],
    }
    assert "fp32, file to label" in texts(deadline_plot((make.model(speeds=speeds),), name="d"))


def test_nothing_to_draw_is_an_error(make):
    with pytest.raises(ValueError, match="no model was timed frame after frame, pixels to logits"):
        latency_plot((make.model(speeds=(make.speed(8),)),), "host", name="l")
    with pytest.raises(ValueError, match="no model was timed"):
        throughput_plot((make.model(speeds=()),), name="t")
    with pytest.raises(ValueError, match="frames at a fixed rate"):
        deadline_plot((make.model(),), name="d")
