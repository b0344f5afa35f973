from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from gi_edge.artifacts.environment import Mark
from gi_edge.artifacts.speed import Deadlines
from gi_edge.report.tables import table_from_classification, table_from_result


def shown(renderable, width=110):
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def test_row_shows_parity_scores_latency_throughput_and_size(make):
    latencies = (make.speed(1, 700, 24.0), make.speed(8, 100, 150.0))
    model = make.model(measured=make.parity(1586), speeds=latencies)
    text = shown(table_from_result(make.result(make.bundle(model))))
    scores, summary = model.parity.engine, latencies[0].summary
    for value in (
        "gastrovision fp32",
        "\n CPU  ",
        "0 / 1,586",
        "≤ 0.19\u00a0%",
        "3.1e-06",
        f"{scores.macro.f1:.3f}",
        f"{scores.majority_macro_f1:.3f}",
        f"{scores.accuracy:.3f}",
        f"{summary.p50_ms:.1f}",
        f"{summary.p90_ms:.1f}",
        f"{summary.p99_ms:.1f} (700)",
        f"{latencies[1].images_per_second:.1f}",
        "@ 8",
        "113",
    ):
        assert value in text


def test_fits_110_columns_with_long_names_and_large_numbers(make):
    name = "convnextv2-base-gastrovision-rank-16-of-march"
    late = Deadlines(frame_rate=30, deadline_ms=1000 / 30, frames=12_000, missed=11_900)
    paced = make.speed(1, 700, scenario="paced").model_copy(update={"deadlines": late})
    model = make.model("fp16", speeds=(make.speed(1, 90_000), make.speed(64, 70, 1000), paced))
    text = shown(table_from_result(make.result(make.bundle(model, name=name))))
    assert max(map(len, text.splitlines())) <= 110
    assert "…" not in text
    assert "11,900 /" in text


def test_doubts_about_the_times_stand_before_the_numbers(make):
    marks = (Mark(kind="throttled", text="The GPU slowed its clocks."),)
    lines = shown(table_from_result(make.result(make.bundle()).model_copy(update={"marks": marks}))).splitlines()
    assert lines[2] == "Doubt the times, throttled: The GPU slowed its clocks."


@pytest.mark.parametrize(("rates", "shown_rate"), [((25.0, 30.0, 60.0), "@ 30"), ((50.0, 60.0), "@ 50"), ((), "@ –")])
def test_deadlines_are_those_of_the_rate_nearest_to_30(make, rates, shown_rate):
    paced = [
        make.speed(1, 70, scenario="paced").model_copy(
            update={"deadlines": Deadlines(frame_rate=rate, deadline_ms=1000 / rate, frames=500, missed=int(rate))}
        )
        for rate in rates
    ]
    text = shown(table_from_result(make.result(make.bundle(make.model(speeds=(make.speed(), *paced))))))
    assert shown_rate in text
    assert not rates or f"{shown_rate[2:]} / 500" in text


def test_too_few_samples_show_dashes_and_say_why(make):
    text = shown(table_from_result(make.result(make.bundle(make.model(speeds=(make.speed(1, 40),))))))
    assert "– (40)" in text
    assert "p90 needs 64, p95 needs 130 and p99 needs 662" in text


def test_dash_note_is_about_the_batch_that_is_shown(make):
    latencies = (make.speed(1, 700), make.speed(8, 40))
    text = shown(table_from_result(make.result(make.bundle(make.model(speeds=latencies)))))
    assert "A dash for a percentile" not in text


def test_half_on_the_cpu_carries_its_caution(make):
    model = make.model("fp16", proves_precision=False)
    text = shown(table_from_result(make.result(make.bundle(model))), width=300)
    assert "pass at export" in text
    assert "ONNX Runtime's CPU provider computes fp16 graphs in fp32: agreement here says nothing of fp16" in text


def test_names_are_text_and_not_markup(make):
    text = shown(table_from_result(make.result(make.bundle(name="[red]x[/red]"))))
    assert "[red]x[/red] fp32" in text


def test_classification_names_every_average_beside_the_baseline(make):
    scores = make.scores(("a", "b [bold]", "c"), n=1500)
    lines = shown(table_from_classification(scores, "gastrovision: test part")).splitlines()
    assert lines[0].strip() == "gastrovision: test part · 1,500 frames"
    cells = {line.rsplit(maxsplit=2)[0].strip(): line.split()[-2:] for line in lines if len(line.split()) > 2}
    assert cells["accuracy"] == [f"{scores.accuracy:.3f}", f"{scores.majority_accuracy:.3f}"]
    assert cells["macro F1"] == [f"{scores.macro.f1:.3f}", f"{scores.majority_macro_f1:.3f}"]
    assert cells["weighted precision"][0] == f"{scores.weighted.precision:.3f}"
    assert cells["weighted recall"][1] == f"{scores.majority_accuracy:.3f}"
    assert cells["MCC, multi-class"] == [f"{scores.mcc:.3f}", "0.000"]
    second = scores.classes[1]
    row = next(line.split() for line in lines if line.strip().startswith("b [bold]"))
    assert row[2:] == [str(second.support), *(f"{x:.3f}" for x in (second.precision, second.recall, second.f1))]


@pytest.mark.parametrize("module", ["tables", "markdown"])
def test_needs_neither_matplotlib_nor_jinja2(module):
    code = f"import sys; sys.modules.update(matplotlib=None, jinja2=None); import gi_edge.report.{module}"
    subprocess.run([sys.executable, "-c", code], check=True)
