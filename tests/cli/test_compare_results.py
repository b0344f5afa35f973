"""gi-edge compare of bench results: what got slower, whose answers got worse, and what differs."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from benches import QUICK, job

from gi_edge.artifacts.bench_comparison import comparison_of_results, environment_differences, scenario_words
from gi_edge.artifacts.environment import Mark
from gi_edge.artifacts.results import Comparison, read_result, write_result
from gi_edge.errors import DataError
from gi_edge.metrics.latency import latency_summary
from gi_edge.progress import Silent
from gi_edge.runtime.onnxruntime import OnnxRuntimeSession
from gi_edge_bench.run import run


@pytest.fixture(scope="module")
def result(workspace):
    """A real result, its samples replaced by quiet ones of 4 ms."""
    return retimed(run(job(workspace, settings=QUICK), Silent()).model_copy(update={"marks": ()}), 4.0)


def changed(result, **changes):
    """The result with changes of every model."""
    (bundle,) = result.bundles
    models = tuple(model.model_copy(update=changes) for model in bundle.models)
    return result.model_copy(update={"bundles": (bundle.model_copy(update={"models": models}),)})


def retimed(result, median_ms, count=200, seed=0):
    """The result with samples around a median in every scenario."""
    samples = median_ms * np.exp(0.02 * np.random.default_rng(seed).standard_normal(count))
    (bundle,) = result.bundles
    models = tuple(
        model.model_copy(
            update={
                "speeds": tuple(
                    speed.model_copy(update={"samples_ms": tuple(samples), "summary": latency_summary(samples)})
                    for speed in model.speeds
                )
            }
        )
        for model in bundle.models
    )
    return result.model_copy(update={"bundles": (bundle.model_copy(update={"models": models}),)})


def with_status(result, status, reasons=()):
    (bundle,) = result.bundles
    models = tuple(
        model.model_copy(
            update={
                "parity": model.parity.model_copy(
                    update={"verdict": model.parity.verdict.model_copy(update={"status": status, "reasons": reasons})}
                )
            }
        )
        for model in bundle.models
    )
    return result.model_copy(update={"bundles": (bundle.model_copy(update={"models": models}),)})


@pytest.fixture
def files(result, tmp_path):
    """Write results and return the words of the command."""

    def write(*results):
        names = [f"{letter}.json" for letter in "abc"[: len(results)]]
        for name, item in zip(names, results, strict=True):
            write_result(tmp_path / name, item)
        return ["compare", *names]

    return write


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


def of_first_model(result):
    (bundle,) = result.bundles
    return result.model_copy(update={"bundles": (bundle.model_copy(update={"models": bundle.models[:1]}),)})


def fewer_scenarios(result):
    return changed(result, speeds=result.bundles[0].models[0].speeds[:1])


@pytest.mark.parametrize(
    ("lose", "clause"),
    [
        (lambda result: changed(result, parity=None), "the answers of lesions fp32 were not compared in b.json"),
        (of_first_model, "lesions fp16 (onnxruntime "),
        (fewer_scenarios, "lesions fp32 offline host, batch 4 is not in b.json"),
    ],
)
def test_what_the_first_shows_and_another_does_not_exits_3(result, files, gi_edge, tmp_path, lose, clause):
    words = files(result, lose(result))
    done = gi_edge(*words, "--max-regression", "500%", cwd=tmp_path)
    assert done.code == 3
    assert f"could not be compared: {clause}" in done.err
    assert "with the same options of gi-edge bench" in done.err
    assert gi_edge(*words, cwd=tmp_path).code == 0
    assert gi_edge(*files(lose(result), result), "--max-regression", "500%", cwd=tmp_path).code == 0
    slow = gi_edge(*files(result, lose(retimed(result, 9.0))), "--max-regression", "5%", cwd=tmp_path)
    assert slow.code == 3
    assert f"; and could not be compared: {clause}" in slow.err


def test_probes_that_are_no_longer_compared_are_missed(result):
    probes = Comparison(
        against="reference on probe images",
        frames="probes",
        parity=result.bundles[0].models[0].parity.verdict.parity,
        is_alike=True,
    )
    before, after = (changed(result, parity=None, comparisons=given) for given in ((probes,), ()))
    assert comparison_of_results([before, after], ["a", "b"], 0.05).not_compared == (
        "the answers of lesions fp32 were not compared on probe images in b",
        "the answers of lesions fp16 were not compared on probe images in b",
    )
    assert comparison_of_results([before, result], ["a", "b"], 0.05).not_compared == ()


def with_offline(result, sizes, best, *, searched=True):
    """The result with offline runs of these sizes, of 4 ms a batch but the best, which takes 1 ms an image."""
    (bundle,) = retimed(result, 4.0).bundles
    models = []
    for model in bundle.models:
        single, offline = model.speeds
        runs = []
        for size in sizes:
            median = size * (1.0 if size == best else 4.0)
            samples = median * np.exp(0.02 * np.random.default_rng(size).standard_normal(200))
            runs.append(
                offline.model_copy(
                    update={
                        "batch_size": size,
                        "samples_ms": tuple(samples),
                        "summary": latency_summary(samples),
                        "images_per_second": 1e3 * size / median,
                    }
                )
            )
        models.append(model.model_copy(update={"speeds": (single, *runs)}))
    settings = {**result.settings, "batch_sizes": [] if searched else list(sizes)}
    return result.model_copy(
        update={"bundles": (bundle.model_copy(update={"models": tuple(models)}),), "settings": settings}
    )


@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [
        (((8, 32), 32), ((8, 64), 64), {(8, 8), (32, 64)}),
        (((8, 32), 32), ((8,), 8), {(8, 8), (32, 8)}),
        (((8, 32), 32), ((8, 32), 32), {(8, 8), (32, 32)}),
        (((8, 32), 8), ((8, 64), 8), {(8, 8)}),
    ],
)
def test_the_best_batch_sizes_that_were_looked_for_are_held_against_one_another(result, first, second, pairs):
    found = comparison_of_results([with_offline(result, *first), with_offline(result, *second)], ["a", "b"], 0.05)
    offline = [pair for pair in found.speeds if pair.scenario == "offline" and "fp32" in pair.model]
    assert {pair.batch_sizes for pair in offline} == pairs
    assert found.not_compared == ()
    assert found.unpaired == ()
    for pair in offline:
        if pair.batch_sizes[0] != pair.batch_sizes[1]:
            assert pair.p50_ms == (pytest.approx(1, rel=0.02), pytest.approx(1, rel=0.02))
            assert pair.ratio.ratio == pytest.approx(1, rel=0.02)
            assert scenario_words(pair).startswith("offline host, best batch 32 → ")


def test_a_slower_best_batch_is_found_and_a_named_size_is_no_substitute(result):
    before, slow = with_offline(result, (8, 32), 32), with_offline(result, (8, 64), 0)
    found = comparison_of_results([before, slow], ["a", "b"], 0.05)
    (best,) = (item for item in found.regressions if "best batch" in item and "fp32" in item)
    assert best.startswith("lesions fp32 offline host, best batch 32 → ")
    named = with_offline(result, (8, 64), 64, searched=False)
    assert comparison_of_results([before, named], ["a", "b"], 0.05).not_compared == (
        "lesions fp32 offline host, batch 32 is not in b",
        "lesions fp16 offline host, batch 32 is not in b",
    )


def half(result, *, computes, exported):
    """The result's fp16 model, computed in its precision or not, with a verdict at export."""
    (bundle,) = result.bundles
    (model,) = (model for model in bundle.models if model.precision == "fp16")
    verdict = model.parity.verdict.model_copy(update={"status": "pass", "reasons": (), "computes_precision": computes})
    model = model.model_copy(
        update={
            "parity": model.parity.model_copy(update={"verdict": verdict}),
            "export_verdict": verdict.model_copy(
                update={"status": exported, "computes_precision": True, "reasons": ("9 frames changed",)}
            ),
        }
    )
    return result.model_copy(update={"bundles": (bundle.model_copy(update={"models": (model,)}),)})


def test_a_pass_computed_in_fp32_is_no_verdict_on_fp16(result, files, gi_edge, tmp_path):
    before, after = (half(result, computes=False, exported=status) for status in ("pass", "fail"))
    done = gi_edge(*files(before, after), "--max-regression", "500%", cwd=tmp_path)
    assert done.code == 3
    assert "lesions fp16 in b.json answers worse: pass became fail: 9 frames changed" in done.err
    assert "pass at export" in done.out
    assert "fail at export" in done.out
    same = gi_edge(*files(before, before), "--max-regression", "500%", cwd=tmp_path)
    assert same.code == 0
    proven = half(result, computes=True, exported="pass")
    lost = gi_edge(*files(proven, before), "--max-regression", "500%", cwd=tmp_path)
    assert lost.code == 3
    assert "does not compute in fp16, so that b.json proves nothing of lesions fp16" in lost.err
    assert gi_edge(*files(before, proven), "--max-regression", "500%", cwd=tmp_path).code == 0


def test_backends_are_named_where_they_differ_or_a_model_is_there_on_several(result):
    elsewhere = changed(result, runtime="tensorrt 10.3.0", provider="Orin")
    here = f"{result.bundles[0].models[0].runtime}, CPUExecutionProvider"
    apart = comparison_of_results([result, elsewhere], ["a", "b"])
    assert {pair.model for pair in (*apart.speeds, *apart.verdicts)} == {
        f"lesions {precision} ({here} → tensorrt 10.3.0, Orin)" for precision in ("fp32", "fp16")
    }
    (bundle,), (other,) = result.bundles, elsewhere.bundles
    both = result.model_copy(
        update={"bundles": (bundle.model_copy(update={"models": (*bundle.models[:1], *other.models[:1])}),)}
    )
    assert {pair.model for pair in comparison_of_results([both, both], ["a", "b"]).speeds} == {
        f"lesions fp32 ({here})",
        "lesions fp32 (tensorrt 10.3.0, Orin)",
    }
    assert {pair.model for pair in comparison_of_results([result, result], ["a", "b"]).speeds} == {
        "lesions fp32",
        "lesions fp16",
    }


def test_settings_that_differ_are_listed(result, files, gi_edge, tmp_path):
    backend = {**result.settings["backend"], "cuda_graph": True, "threads": 2}
    other = result.model_copy(
        update={"settings": {**result.settings, "backend": backend, "batch_sizes": [], "minimum_seconds": 2.0}}
    )
    found = comparison_of_results([result, other], ["a", "b"])
    assert {item.fact: item.values for item in found.differences} == {
        "setting backend threads": ("not set", "2"),
        "setting backend cuda graph": ("no", "yes"),
        "setting batch sizes": ("4", "none"),
        "setting minimum seconds": ("0.05", "2"),
    }
    assert "setting minimum seconds" in gi_edge(*files(result, other), cwd=tmp_path).out
