"""gi-edge compare of bench results: what got slower, whose answers got worse, and what differs."""

from __future__ import annotations

import json
import time

import pytest
from bench_changes import changed, retimed, with_status
from benches import QUICK, job

from gi_edge.artifacts.bench_comparison import comparison_of_results, environment_differences
from gi_edge.artifacts.environment import Mark
from gi_edge.artifacts.results import Comparison, read_result, write_result
from gi_edge.errors import DataError
from gi_edge.progress import Silent
from gi_edge.runtime.onnxruntime import OnnxRuntimeSession
from gi_edge_bench.run import run


@pytest.mark.parametrize(
    ("median_ms", "count", "limit", "code", "outcome"),
    [
        (4.0, 200, "5%", 0, "within"),
        (4.5, 200, "5%", 3, "slower"),
        (4.5, 200, "20", 0, "within"),
        (3.0, 200, "0%", 0, "within"),
        (4.2, 200, "5%", 0, "undecided"),
        (9.0, 10, "5%", 0, "undecided"),
    ],
)
def test_a_sure_slowdown_beyond_the_limit_exits_3(
    result, files, gi_edge, tmp_path, median_ms, count, limit, code, outcome
):
    words = files(result, retimed(result, median_ms, count, seed=1))
    done = gi_edge(*words, "--max-regression", limit, "--json", cwd=tmp_path)
    assert done.code == code, done.err
    found = json.loads(done.out)
    assert {pair["outcome"] for pair in found["speeds"]} == {outcome}
    assert found["speeds"][0]["ratio"]["ratio"] == pytest.approx(median_ms / 4, rel=0.02)
    if code == 3:
        assert "lesions fp32 single-stream host in b.json is 12." in done.err
        assert "95 % interval +1" in done.err
    assert ("could not be decided" in done.err) is (outcome == "undecided")


def test_a_session_that_was_slowed_is_found_by_its_times(workspace, result, files, gi_edge, tmp_path, monkeypatch):
    honest = OnnxRuntimeSession.run

    def slowed(self, pixels):
        time.sleep(0.03)
        return honest(self, pixels)

    settings = QUICK.model_copy(update={"scenarios": ("single-stream",), "minimum_count": 30, "precisions": ("fp32",)})
    before = run(job(workspace, settings=settings), Silent())
    monkeypatch.setattr(OnnxRuntimeSession, "run", slowed)
    after = run(job(workspace, settings=settings), Silent())
    done = gi_edge(*files(before, after), "--max-regression", "20%", cwd=tmp_path)
    assert done.code == 3
    assert "lesions fp32 single-stream host in b.json is " in done.err


def test_without_a_limit_nothing_exits_3_and_the_table_says_what_is_compared(result, files, gi_edge, tmp_path):
    marked = retimed(result, 8.0).model_copy(update={"marks": (Mark(kind="busy cpu", text="Others computed."),)})
    done = gi_edge(*files(result, marked, result), "--output", "out.json", cwd=tmp_path)
    assert done.code == 0, done.err
    for words in ("Compared with a.json", "2.000", "lesions fp16", "c.json", "b.json: Others computed.", "the same"):
        assert words in done.out, words
    kept = json.loads((tmp_path / "out.json").read_text())
    assert [run["name"] for run in kept["runs"]] == ["a.json", "b.json", "c.json"]
    (marks,) = {tuple(run["marks"]) for run in kept["runs"] if run["name"] == "b.json"}
    assert marks == ("Others computed.",)
    again = gi_edge(*files(result, result), "--output", "out.json", cwd=tmp_path)
    assert (again.code, "--force" in again.err) == (1, True)
    assert gi_edge(*files(result, result), "--output", "out.json", "--force", cwd=tmp_path).code == 0
    blamed = gi_edge(*files(result, marked), "--max-regression", "5%", cwd=tmp_path)
    assert blamed.code == 3
    assert "measure again, since these times are to be doubted (b.json: Others computed.)" in blamed.err


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [("pass", "fail", True), ("pass", "undecided", True), ("undecided", "fail", True), ("fail", "fail", False),
     ("undecided", "pass", False), ("pass", "pass", False)],
)  # fmt: skip
def test_a_worse_verdict_exits_3(result, files, gi_edge, tmp_path, before, after, worse):
    words = files(with_status(result, before), with_status(result, after, ("7 frames changed",)))
    done = gi_edge(*words, "--max-regression", "500%", cwd=tmp_path)
    assert done.code == (3 if worse else 0), done.err
    assert (f"lesions fp32 in b.json answers worse: {before} became {after}: 7 frames changed" in done.err) is worse


def test_a_model_that_is_no_longer_alike_is_worse(result):
    parity = result.bundles[0].models[0].parity.verdict.parity
    alike = Comparison(against="reference on probe images", frames="probes", parity=parity, is_alike=True)
    unlike = alike.model_copy(update={"is_alike": False, "reasons": ("a logit is off",)})
    before, after = changed(result, comparisons=(alike,)), changed(result, comparisons=(unlike,))
    found = comparison_of_results([before, after], ["a", "b"], 0.05)
    assert (
        found.regressions[0] == "lesions fp32 in b answers worse: not alike reference on probe images: a logit is off"
    )
    assert comparison_of_results([after, after], ["a", "b"], 0.05).regressions == ()


def test_a_measurement_that_is_missing_is_told_and_is_no_regression(result):
    found = comparison_of_results([result, changed(result, parity=None)], ["a", "b"], 0.05)
    assert [pair.statuses[1] for pair in found.verdicts] == [None, None]
    assert found.regressions == ()
    assert comparison_of_results([changed(result, parity=None), result], ["a", "b"], 0.05).regressions == ()


def test_other_devices_are_paired_by_bundle_and_precision_and_their_differences_listed(result):
    elsewhere = changed(retimed(result, 1.0), runtime="tensorrt 10.3.0", provider="Orin", file="engines/x/model.plan")
    environment = elsewhere.environment.model_copy(update={"cpu": "Cortex-A78AE", "load_before": 9.0, "board": "Orin"})
    found = comparison_of_results(
        [result, elsewhere.model_copy(update={"environment": environment})], ["desk.json", "orin.json"]
    )
    assert {pair.backends[1] for pair in found.speeds} == {"tensorrt 10.3.0, Orin"}
    assert all(pair.ratio.ratio == pytest.approx(0.25) for pair in found.speeds)
    assert {item.fact: item.values for item in found.differences} == {
        "cpu": (result.environment.cpu, "Cortex-A78AE"),
        "board": ("", "Orin"),
    }
    assert found.runs[1].device == "Orin"


def test_scenarios_and_models_that_one_has_alone_are_named(result):
    (bundle,) = result.bundles
    fewer = bundle.model_copy(update={"models": bundle.models[:1]})
    found = comparison_of_results([result, result.model_copy(update={"bundles": (fewer,)})], ["a", "b"])
    (alone,) = found.unpaired
    assert alone.startswith("lesions fp16 (onnxruntime ")
    short = changed(result, speeds=bundle.models[0].speeds[:1])
    assert "scenarios of lesions fp32 are in one" in comparison_of_results([result, short], ["a", "b"]).unpaired[0]


def test_environments_that_are_alike_differ_in_nothing(result):
    assert list(environment_differences([result.environment, result.environment])) == []


def test_results_without_a_common_model_are_not_compared(result):
    renamed = result.model_copy(update={"bundles": (result.bundles[0].model_copy(update={"name": "other"}),)})
    with pytest.raises(DataError, match="have no model of one bundle and precision in common"):
        comparison_of_results([result, renamed], ["a", "b"])


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        (["compare", "a.json"], 2, "two results or more"),
        (["compare", "a.json", "good"], 2, "not both at once"),
        (["compare", "a.json", "b.json", "--max-regression", "much"], 2, "takes percent, such as 5%"),
        (["compare", "a.json", "b.json", "--max-regression", "-1"], 2, "takes percent, such as 5%"),
        (["compare", "a", "b", "--max-regression", "5%"], 2, "is for .json results"),
        (["compare", "a.json", "absent.json"], 1, "is no bench result"),
    ],
)
def test_what_cannot_be_compared_is_refused(result, files, gi_edge, tmp_path, words, code, found):
    files(result, result)
    done = gi_edge(*words, cwd=tmp_path)
    assert done.code == code
    assert found in done.err


def test_the_comparison_of_a_result_with_itself_is_one(result, tmp_path):
    write_result(tmp_path / "a.json", result)
    again = read_result(tmp_path / "a.json")
    found = comparison_of_results([result, again], ["a", "a"], 0.05)
    assert {pair.ratio.ratio for pair in found.speeds} == {1.0}
    assert {pair.outcome for pair in found.speeds} == {"within"}
    assert found.regressions == ()
