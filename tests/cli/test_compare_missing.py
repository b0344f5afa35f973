"""gi-edge compare where evidence is gone, proves another thing, or comes from other backends and settings."""

from __future__ import annotations

import numpy as np
import pytest
from bench_changes import changed, retimed

from gi_edge.artifacts.bench_comparison import comparison_of_results, scenario_words
from gi_edge.artifacts.results import Comparison
from gi_edge.metrics.latency import latency_summary


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
