from __future__ import annotations

import pytest
from bench_large import large_bundle

from gi_edge.artifacts.results import Comparison
from gi_edge.report.notes import (
    PROBE_CAUTION,
    comparison_notes,
    is_non_commercial,
    limits_note,
    notes_from_bundle,
    notes_from_result,
    parity_notes,
    support_note,
)
from gi_edge.report.panels import comparison_rows
from gi_edge.report.speed_notes import percentile_note, spread_note


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC BY-NC 4.0", True),
        ("cc-by-nc-sa-4.0", True),
        ("CC BY NC", True),
        ("Non-Commercial research licence", True),
        ("noncommercial", True),
        ("Apache licence 2.0", False),
        ("CC BY 4.0; commercial use needs written permission", False),
        ("NCSA", False),
        ("unknown", False),
    ],
)
def test_non_commercial_is_a_word_and_not_a_part_of_licence(licence, expected):
    assert is_non_commercial(licence) is expected


def test_half_on_the_cpu_is_said_to_prove_nothing(make):
    (note,) = parity_notes(make.bundle(make.model("fp16", proves_precision=False)))
    assert note == (
        "fp16: ONNX Runtime's CPU provider computes fp16 graphs in fp32: agreement here says nothing of fp16; the "
        "verdict in this precision is the export's: pass (0 of 400 frames changed class; computed by PyTorch on the "
        "CPU, half precision)."
    )


def test_another_place_that_widens_is_not_called_onnx_runtime(make):
    model = make.model("fp16", proves_precision=False).model_copy(update={"runtime": "other 1", "provider": "NPU"})
    (note,) = parity_notes(make.bundle(model))
    assert note.startswith("fp16: NPU does not compute in fp16: agreement here says nothing of fp16; ")


def test_failure_comes_first_and_keeps_its_reason(make):
    bundle = make.bundle(make.model("fp16", measured=make.parity(flips=41)))
    assert notes_from_bundle(bundle)[0] == ("fp16 failed here: 41 of 400 frames changed their class; at most 1.0% may.")


def test_frames_that_are_not_finite_are_counted(make):
    broken = make.parity(flips=30, max_abs_error=None, nonfinite=30)
    notes = parity_notes(make.bundle(make.model("fp16", measured=broken)))
    assert notes == ("fp16: 30 of 400 frames gave NaN or infinity; each counts as changed.",)


def test_speed_only_is_said_with_the_verdict_at_export(make):
    (note,) = parity_notes(make.bundle(make.model(is_speed_only=True)))
    assert note.startswith("fp32: parity was not measured in this run; the verdict at export was pass (0 of 400")


def test_percentile_note_names_what_is_absent_and_what_it_needs(make):
    assert percentile_note([make.speed(1, 700)]) is None
    assert percentile_note([make.speed(1, 100)]) == (
        "A dash for a percentile means too few samples: p95 needs 130 and p99 needs 662 (MLPerf Inference, "
        "confidence 0.99)."
    )


def test_unsteady_latency_is_named_with_its_worst_spread(make):
    steady, unsteady = make.speed(1, 700, tail=0.001), make.speed(8, 700, tail=0.2)
    bundle = make.bundle(make.model(speeds=(steady,)), make.model("fp16", speeds=(steady, unsteady)))
    note = spread_note(bundle)
    percent = 100 * unsteady.summary.coefficient_of_variation
    assert f"for fp16 (up to {percent:.1f}\u00a0%)" in note
    assert "fp32" not in note
    assert spread_note(make.bundle(make.model(speeds=(steady,)))) is None


def test_classes_with_few_frames_are_named_or_counted(make):
    bundle = make.bundle(make.model(measured=make.parity(60)))
    supports = {score.label: score.support for score in bundle.models[0].parity.engine.classes}
    few = [f"{label} ({support})" for label, support in supports.items() if support < 20]
    assert len(few) == 2
    assert support_note(bundle).startswith(f"Fewer than 20 frames: {few[0]} and {few[1]};")
    many = tuple(f"class {number}" for number in range(27))
    crowded = make.bundle(make.model(names=many, measured=make.parity(200)), names=many)
    assert " of 27 classes; one frame moves" in support_note(crowded)
    assert support_note(make.bundle(make.model(measured=make.parity(2000)))) is None


def test_limits_are_those_of_the_metrics():
    assert limits_note(["fp32"]) == "Limits: fp32: no logit may differ by more than 0.0001."
    both = limits_note(["fp32", "fp16", "fp16"])
    assert both.startswith(
        "Limits: fp32: no logit may differ by more than 0.0001; fp16: at most 1\u00a0% of the frames may change class, "
        "no probability may move by more than 0.02. Beside fp32, macro-F1 may lose less than 0.5 points and the "
        "sensitivity of a class less than 1, "
    )


def test_shared_notes_stand_once(make):
    result = make.result(
        make.bundle(make.model(), name="first"), make.bundle(make.model(), name="second", split_kind="frame")
    )
    notes = notes_from_result(result)
    licence = [note for note in notes["All bundles"] if note.startswith("Commercial use is not permitted")]
    assert licence == [
        "Commercial use is not permitted by the licence of the backbone (CC BY-NC 4.0); the engine contains its "
        "weights."
    ]
    assert "Split by video: the test part holds 12 videos that training never saw." in notes["first"]
    assert "Frame-level split: near-copies of training frames can be in the test part." in notes["second"]
    assert not any("Commercial" in note for name in ("first", "second") for note in notes[name])


def test_an_agreement_computed_in_fp32_is_said_to_show_nothing_of_half(make):
    probes = Comparison(
        against="reference on probe images",
        frames="probes",
        parity=make.parity(16),
        is_alike=True,
        computes_precision=False,
    )
    other = probes.model_copy(update={"frames": "dataset", "against": "onnxruntime 1.23.2, CPUExecutionProvider, fp16"})
    speed_only = make.model("fp16", is_speed_only=True)
    bundle = make.bundle(speed_only.model_copy(update={"comparisons": (probes, other)}))
    assert parity_notes(bundle)[1:] == (
        "fp16: ONNX Runtime's CPU provider computes fp16 graphs in fp32: agreement here says nothing of fp16.",
    )
    assert comparison_notes(bundle)[:2] == (
        "fp16: alike the reference; 0 of 16 probe images changed class; computed in fp32 here, which shows nothing of "
        "fp16.",
        "fp16: alike onnxruntime 1.23.2, CPUExecutionProvider, fp16; 0 of 16 frames changed class; computed in fp32 by "
        "one of the two, which shows nothing of fp16.",
    )
    assert [row.outcome for row in comparison_rows(bundle)] == ["alike, computed in fp32"] * 2
    assert len(parity_notes(make.bundle(speed_only))) == 1


def test_comparisons_that_came_to_the_same_share_a_note():
    notes = comparison_notes(large_bundle("capsule", ("Bleeding", "No bleeding")))
    assert notes == (
        "fp32, fp16, bf16 and int8: alike the reference; 0 of 16 probe images changed class.",
        "fp16: alike onnxruntime 1.23.2, CPUExecutionProvider; 2 of 1,586 frames changed class.",
        "int8: differs from onnxruntime 1.23.2, CPUExecutionProvider; 2 of 1,586 frames changed class; 2 of 1586 "
        "frames changed their class away from a tie.",
        PROBE_CAUTION,
    )
