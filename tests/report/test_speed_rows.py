"""Which timed run stands for what, and what is said of it."""

from __future__ import annotations

import pytest

from gi_edge.artifacts.results import NodePlacement
from gi_edge.artifacts.speed import Deadlines, WarmUp
from gi_edge.report.speed_notes import placement_notes, region_notes, speed_notes, speed_sentence, spread_note
from gi_edge.report.speed_rows import best_throughput, paced_run, single_latency, speed_rows, startup_rows


def paced(make, rate, missed=0, frames=600):
    late = Deadlines(frame_rate=rate, deadline_ms=1000 / rate, frames=frames, missed=missed)
    return make.speed(1, 700, scenario="paced").model_copy(update={"deadlines": late})


@pytest.mark.parametrize(
    ("regions", "expected"),
    [(("device", "file", "host"), "host"), (("file", "device"), "device"), (("file",), "file"), ((), None)],
)
def test_single_frames_in_host_memory_stand_for_a_file_where_they_were_timed(make, regions, expected):
    model = make.model(speeds=(make.speed(8), paced(make, 30), *(make.speed(1, region=item) for item in regions)))
    found = single_latency(model)
    assert (found and found.region) == expected


def test_neither_paced_frames_nor_several_callers_are_the_best_throughput(make):
    busy = make.speed(1, 700, 1.0, scenario="multi-stream").model_copy(update={"streams": 4})
    batch = make.speed(8, 70, 96.0)
    faster_elsewhere = make.speed(8, 70, 9.0, region="device")
    model = make.model(speeds=(make.speed(), busy, paced(make, 60), faster_elsewhere, batch))
    assert best_throughput(model) is batch
    assert best_throughput(make.model(speeds=(busy,))) is None


def test_the_rate_nearest_to_30_stands_for_the_paced_runs(make):
    model = make.model(speeds=(paced(make, 60), paced(make, 25), make.speed()))
    assert paced_run(model).deadlines.frame_rate == 25
    assert paced_run(make.model()) is None


def test_rows_are_of_the_scenarios_that_are_asked_for(make):
    bundle = make.bundle(make.model(speeds=(make.speed(), make.speed(8), paced(make, 30, 77))))
    (row,) = speed_rows(bundle, "paced")
    assert (row.frame_rate, row.deadline, row.missed, row.missed_share) == ("30", "33.3", "77 / 600", "12.8\u00a0%")
    assert [row.scenario for row in speed_rows(bundle)] == ["single-stream", "paced", "offline"]
    (single,) = speed_rows(bundle, "single-stream")
    assert (single.missed, single.frame_rate, single.deadline) == ("–", "–", "–")


def test_small_batches_come_first(make):
    bundle = make.bundle(make.model(speeds=(make.speed(16), make.speed(4), make.speed(8))))
    assert [row.batch_size for row in speed_rows(bundle, "offline")] == ["4", "8", "16"]


def test_an_unsteady_warm_up_is_told_in_the_row_and_in_a_note(make):
    cold = make.speed().model_copy(update={"warm_up": WarmUp(count=9, seconds=10.0, is_steady=False)})
    bundle = make.bundle(make.model(speeds=(cold, make.speed(8))))
    assert [row.warm_up for row in speed_rows(bundle)] == ["9, not steady", "50"]
    assert speed_notes(bundle)[0] == (
        "The warm-up ended at its time limit before times were steady: fp32 (single-stream, pixels to logits)."
    )
    assert speed_notes(make.bundle()) == ()
    slow = make.speed().model_copy(update={"warm_up": WarmUp(count=7, seconds=2.1, is_steady=None)})
    slow_bundle = make.bundle(make.model(speeds=(slow,)))
    assert [row.warm_up for row in speed_rows(slow_bundle)] == ["7"]
    assert speed_notes(slow_bundle) == ()


def test_paced_frames_may_vary(make):
    wild = paced(make, 30).model_copy(update={"summary": make.speed(1, 700, tail=0.5).summary})
    assert spread_note(make.bundle(make.model(speeds=(make.speed(), wild)))) is None


@pytest.mark.parametrize(
    ("missed", "end"),
    [
        (None, "(median, pixels to logits)."),
        (0, "; at 30 frames per second it answered each of 600 before the next arrived."),
        (77, "; at 30 frames per second it missed 77 / 600."),
    ],
)
def test_the_sentence_names_the_fastest_file_and_what_it_misses(make, missed, end):
    fast = (make.speed(1, 700, 9.0), *(() if missed is None else (paced(make, 30, missed),)))
    bundle = make.bundle(make.model(), make.model("int8", speeds=fast))
    sentence = speed_sentence(bundle)
    assert sentence.startswith("One frame takes 9.1")
    assert " ms with int8, the fastest of 2 (median, pixels to logits)" in sentence
    assert sentence.endswith(end)
    assert speed_sentence(make.bundle(make.model(speeds=(make.speed(8),)))) is None


def test_the_sentence_tells_of_missed_frames_in_the_region_of_its_time_only(make):
    in_files = paced(make, 30, 90).model_copy(update={"region": "file"})
    in_memory = paced(make, 60, 5)
    both = make.bundle(make.model(speeds=(in_files, in_memory, make.speed())))
    assert speed_sentence(both).endswith("(median, pixels to logits); at 60 frames per second it missed 5 / 600.")
    other = make.bundle(make.model(speeds=(in_files, make.speed())))
    assert speed_sentence(other).endswith("(median, pixels to logits).")
    assert paced_run(both.models[0]) is in_memory
    assert paced_run(other.models[0]) is in_files
    assert paced_run(both.models[0], "device") is None


def test_what_a_time_spans_is_said_once_and_notes_name_their_runs(make):
    noisy = make.speed(8).model_copy(update={"note": "random pixels"})
    bundle = make.bundle(make.model(speeds=(make.speed(), noisy, make.speed(1, region="device"))))
    assert region_notes(bundle) == (
        "Pixels to logits: uint8 pixels in host memory to logits in host memory; decoding and resizing are not in it.",
        "Computing alone: pixels and logits stay where the graph computes.",
        "offline, pixels to logits, batch 8: random pixels.",
    )


def test_nodes_on_another_provider_are_told(make):
    places = (
        NodePlacement(provider="CUDAExecutionProvider", nodes=1311, operators=()),
        NodePlacement(provider="CPUExecutionProvider", nodes=4, operators=("Gather", "Shape")),
    )
    split = make.model().model_copy(update={"placements": places})
    assert placement_notes(make.bundle(split)) == (
        "fp32 runs on 2 providers: 1,311 nodes on CUDAExecutionProvider and 4 nodes on CPUExecutionProvider (Gather, "
        "Shape). Data moves between them on every frame.",
    )
    assert placement_notes(make.bundle()) == ()


def test_memory_that_is_not_told_is_a_dash(make):
    (row,) = startup_rows(make.bundle())
    assert (row.load_ms, row.first_inference_ms, row.memory_megabytes) == ("413", "61.3", "734")
    assert row.gpu_memory_megabytes == "–"
