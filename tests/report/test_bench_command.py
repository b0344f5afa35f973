"""The command of a result, given to the command line again, asks for the same settings."""

from __future__ import annotations

import shlex

import pytest

from gi_edge.artifacts.results import Comparison
from gi_edge.cli.bench import _settings, command
from gi_edge.cli.report import write_page
from gi_edge.report.bench_command import command_from_result
from gi_edge_bench.config import BenchSettings

DEFAULTS = BenchSettings().model_dump(mode="json")


def test_command_names_the_bundles_and_what_was_set(make):
    fast = make.bundle(make.model(is_speed_only=True), name="two words")
    sizes = "--batch-size 1 --batch-size 8"  # of the settings of make.result
    assert command_from_result(make.result(make.bundle(), fast)) == f"gi-edge bench gastrovision 'two words' {sizes}"
    assert command_from_result(make.result(fast)) == f"gi-edge bench 'two words' --speed-only {sizes}"


def test_probes_are_named_where_they_alone_were_compared(make):
    probes = Comparison(against="reference on probe images", frames="probes", parity=make.parity(16), is_alike=True)
    alone = make.model(is_speed_only=True).model_copy(update={"comparisons": (probes,)})
    assert "--probes" in command_from_result(make.result(make.bundle(alone))).split()
    assert "--speed-only" not in command_from_result(make.result(make.bundle(alone)))
    assert "--probes" not in command_from_result(make.result(make.bundle(alone, make.model())))


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--runtime tensorrt --cuda-graph",
        "--provider cpu --threads 2 --precision fp32 --precision int8",
        "--runtime onnxruntime",
        "--scenario paced --scenario single-stream --region host --frame-rate 12.5 --frame-rate 60",
        "--streams 2 --streams 4 --batch-size 3 --minimum-seconds 0.05 --minimum-count 5 --maximum-seconds 20",
        "--warmup-seconds 0 --idle-gap-ms 0 --no-pictures --cross-check",
        "--against onnxruntime:cpu --against tensorrt --against onnxruntime",
    ],
)
@pytest.mark.parametrize("defaults", [DEFAULTS, {}])
def test_the_command_asks_for_the_settings_of_the_result(make, words, defaults):
    given = _settings(command.make_context("bench", ["gastrovision", *words.split()]).params)
    result = make.result(make.bundle()).model_copy(update={"settings": given.model_dump(mode="json")})
    again = shlex.split(command_from_result(result, defaults))
    assert again[:2] == ["gi-edge", "bench"]
    assert _settings(command.make_context("bench", again[2:]).params) == given
    if defaults:  # nothing is named that was not asked for
        assert sorted(again[3:]) == sorted(
            words.replace("--runtime onnxruntime", "--runtime onnxruntime --provider auto")
            .replace("--provider cpu", "--runtime onnxruntime --provider cpu")
            .split()
        )


def test_the_page_of_a_usual_run_has_a_short_command(make, tmp_path):
    usual = BenchSettings(with_engines=True).model_dump(mode="json")
    result = make.result(make.bundle()).model_copy(update={"settings": usual})
    page = write_page(tmp_path / "r.json", result).read_text(encoding="utf-8")
    assert ">gi-edge bench gastrovision<" in page
