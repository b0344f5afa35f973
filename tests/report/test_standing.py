from __future__ import annotations

import pytest

from gi_edge.artifacts.results import Comparison
from gi_edge.report.standing import (
    labels_from_models,
    sentence_from_result,
    standing_from_model,
    verdict_from_result,
)

HALF_FLIPS = "41 of 400 frames changed their class; at most 1.0% may"


def failed_export(make, model):
    verdict = make.verdict("fp16", make.parity(400, flips=41), "PyTorch on the CPU, half precision")
    return model.model_copy(update={"export_verdict": verdict})


def test_a_pass_is_this_machines_word_only_where_it_computes_in_the_precision(make):
    proven = make.model("fp16", measured=make.parity(flips=1))
    widened = make.model("fp16", proves_precision=False)
    assert standing_from_model(proven).words == "pass"
    assert standing_from_model(widened).words == "pass at export"
    assert standing_from_model(failed_export(make, widened)).words == "fail at export"


def test_a_failure_measured_here_counts_wherever_it_is_computed(make):
    model = make.model("fp16", measured=make.parity(flips=41), proves_precision=False)
    standing = standing_from_model(model)
    assert (standing.words, standing.source) == ("fail", "here")
    assert standing.reason == HALF_FLIPS


def test_a_pass_here_outweighs_a_failed_export_of_the_same_precision(make):
    assert standing_from_model(failed_export(make, make.model("fp16"))).words == "pass"


def test_speed_only_is_not_measured_unless_the_export_failed(make):
    model = make.model("fp16", is_speed_only=True)
    assert standing_from_model(model).words == "not measured"
    assert standing_from_model(failed_export(make, model)).words == "fail at export"


def test_sentence_when_all_passed(make):
    result = make.result(make.bundle(make.model(), make.model("fp16")))
    assert sentence_from_result(result) == (
        "Both model files passed: the engine makes the diagnoses of the fp32 reference, within the limits set for "
        "its precision."
    )
    assert verdict_from_result(result) == "pass"


def test_sentence_names_what_failed_and_why(make):
    bad = make.model("fp16", measured=make.parity(flips=41))
    result = make.result(make.bundle(make.model(), bad, name="capsule"))
    assert sentence_from_result(result) == f"1 of 2 model files failed: capsule fp16 ({HALF_FLIPS})."
    assert verdict_from_result(result) == "fail"


def test_sentence_says_when_the_failure_is_that_of_the_export(make):
    model = failed_export(make, make.model("fp16", is_speed_only=True))
    assert sentence_from_result(make.result(make.bundle(model))) == (
        f"The model file failed: gastrovision fp16 (at export: {HALF_FLIPS})."
    )


def test_sentence_names_three_failures_and_counts_the_rest(make):
    bad = make.model("fp16", measured=make.parity(flips=41))
    result = make.result(*(make.bundle(bad, name=f"set{number}") for number in range(5)))
    sentence = sentence_from_result(result)
    assert sentence.startswith("5 of 5 model files failed: set0 fp16 (")
    assert sentence.endswith(") and 2 more.")
    assert "set3" not in sentence


def test_sentence_of_a_machine_that_widens_half(make):
    widened = make.model("fp16", proves_precision=False)
    both = make.result(make.bundle(make.model(), widened))
    assert sentence_from_result(both) == (
        "Both model files passed: 1 by this run, 1 by the verdict at export, because this machine does not compute "
        "in that precision."
    )
    assert verdict_from_result(both) == "pass"
    alone = make.result(make.bundle(widened))
    assert "proves nothing of its own" in sentence_from_result(alone)
    assert verdict_from_result(alone) == "unmeasured"


@pytest.mark.parametrize(
    ("speed_only", "start"),
    [
        ((True, True), "Parity was not measured in this run: it timed 2 model files"),
        ((False, True), "Of 2 model files, 1 passed; parity was not measured in this run for the other one"),
    ],
)
def test_sentence_without_parity_claims_nothing(make, speed_only, start):
    models = (make.model("fp32", is_speed_only=speed_only[0]), make.model("fp16", is_speed_only=speed_only[1]))
    result = make.result(make.bundle(*models))
    assert sentence_from_result(result).startswith(start)
    assert verdict_from_result(result) == "unmeasured"


def test_no_model_at_all_is_no_pass(make):
    assert sentence_from_result(make.result()) == "This run measured no model file."
    assert verdict_from_result(make.result()) == "unmeasured"


def test_labels_grow_until_they_differ(make):
    cpu, half = make.model(), make.model("fp16")
    cuda = cpu.model_copy(update={"provider": "CUDAExecutionProvider"})
    assert labels_from_models((cpu, half)) == ("fp32", "fp16")
    assert labels_from_models((cpu, cuda)) == ("fp32 CPU", "fp32 CUDA")
    assert len(set(labels_from_models((cpu, cpu, cuda)))) == 3


def compared(make, model, *, frames="probes", is_alike=True):
    comparison = Comparison(
        against="reference on probe images" if frames == "probes" else "onnxruntime 1.23.2, CPUExecutionProvider",
        frames=frames,
        parity=make.parity(16, 0 if is_alike else 5),
        is_alike=is_alike,
        reasons=() if is_alike else ("5 of 16 frames changed their class",),
    )
    return model.model_copy(update={"comparisons": (comparison,)})


def test_probes_alone_prove_nothing_but_a_broken_engine_fails_on_them(make):
    alone = compared(make, make.model(is_speed_only=True))
    assert standing_from_model(alone).words == "probes only"
    assert verdict_from_result(make.result(make.bundle(alone))) == "unmeasured"
    assert sentence_from_result(make.result(make.bundle(alone))) == (
        "Not proved on patients' frames: 1 model file answered as the reference on probe images, which shows that no "
        "engine is broken and proves no diagnosis; the verdict at export was pass."
    )
    broken = compared(make, make.model(is_speed_only=True), is_alike=False)
    standing = standing_from_model(broken)
    assert (standing.words, standing.outcome) == ("fail", "fail")
    assert standing.reason == "it differs from the reference on probe images: 5 of 16 frames changed their class"
    assert verdict_from_result(make.result(make.bundle(broken))) == "fail"
    assert sentence_from_result(make.result(make.bundle(broken))) == (
        "The model file failed: gastrovision fp32 (it differs from the reference on probe images)."
    )


def test_probes_computed_in_fp32_are_not_said_to_show_that_a_half_file_is_whole(make):
    half = compared(make, make.model("fp16", is_speed_only=True))
    widened = half.model_copy(
        update={"comparisons": (half.comparisons[0].model_copy(update={"computes_precision": False}),)}
    )
    alone = sentence_from_result(make.result(make.bundle(widened)))
    assert "broken" not in alone
    assert "which proves no diagnosis, and nothing of their precision, in which this machine does not compute" in alone
    single = compared(make, make.model(is_speed_only=True))
    both = sentence_from_result(make.result(make.bundle(single, widened)))
    assert "it shows that 1 of 2 are not broken, and nothing of the precision of the rest" in both
    assert "shows that no engine is broken" in sentence_from_result(make.result(make.bundle(single, half)))


def test_a_comparison_cannot_pass_a_file_and_cannot_hide_its_failure(make):
    differs = compared(make, make.model(), frames="dataset", is_alike=False)
    assert standing_from_model(differs).words == "fail"
    assert standing_from_model(compared(make, make.model(), frames="dataset")).words == "pass"
    failed = compared(make, make.model("fp16", measured=make.parity(flips=41)), frames="dataset")
    assert standing_from_model(failed).reason == HALF_FLIPS
