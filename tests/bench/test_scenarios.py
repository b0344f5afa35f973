"""What is timed is what the result says was timed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from benches import QUICK, Fake, FakeBound, calls_lasting, hungry_graph, subject_of

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import DataError, RuntimeUnavailableError
from gi_edge.runtime.onnxruntime import open_session
from gi_edge_bench.calls import Subject, calls_of
from gi_edge_bench.energy import Meter
from gi_edge_bench.scenarios import BatchSearch, Plan, best_batch_size, idle_gap_of, plans_of, time_plan
from gi_edge_bench.timing import Extent, at_fixed_rate, one_after_another

PLANS = QUICK.model_copy(update={"scenarios": ("single-stream", "offline", "paced", "multi-stream"), "regions": ()})


def extent(seconds=0.05, calls=5, limit=5.0):
    return Extent(seconds, calls, limit)


def test_samples_are_the_durations_of_single_batches():
    session = Fake(seconds=0.004)
    speed = time_plan(Plan("offline", "host", 2), subject_of(session), QUICK, Meter())
    assert speed.summary.count == len(speed.samples_ms) >= 3
    assert min(speed.samples_ms) >= 4.0
    assert (speed.warm_up.count, speed.warm_up.is_steady) == (3, None)
    assert speed.images_per_second <= 2 / 0.004
    assert {batch.shape for batch in session.batches} == {(2, 32, 32, 3)}
    assert len({batch.tobytes() for batch in session.batches}) > 1
    assert (speed.clock, speed.energy, speed.deadlines) == ("host", None, None)


@pytest.mark.parametrize(
    ("given", "seconds", "count"),
    [((0.2, 1, 9.0), 0.2, 1), ((0.0, 80, 9.0), 0.08, 80), ((0.0, 10_000, 0.1), 0.1, 1)],
)
def test_a_scenario_lasts_both_its_seconds_and_its_count_but_not_beyond_its_limit(given, seconds, count):
    timed = one_after_another(calls_lasting(0.001)[0], Extent(*given))
    assert timed.seconds >= seconds
    assert len(timed.samples_ms) >= count
    assert timed.seconds < seconds + 0.5


@pytest.mark.parametrize("region", ["device", "host", "file"])
def test_a_batch_that_memory_cannot_hold_is_told(region):
    with pytest.raises(RuntimeUnavailableError, match="^no memory for a batch of 1000000000 frames: .* GB") as caught:
        time_plan(Plan("offline", region, 10**9), subject_of(Fake()), QUICK, Meter())
    assert caught.value.fix == "--batch-size smaller than 1000000000"


@pytest.mark.parametrize("region", ["device", "host"])
def test_memory_that_is_taken_meanwhile_is_told(region, monkeypatch):
    def full(array):
        raise MemoryError

    monkeypatch.setattr(np, "ascontiguousarray", full)
    with pytest.raises(RuntimeUnavailableError, match=r"^no memory for a batch of 4 frames: timing it takes 0\.0 GB"):
        time_plan(Plan("offline", region, 4), subject_of(Fake()), QUICK, Meter())


def test_minimum_count_is_of_images_so_that_batches_need_fewer():
    settings = QUICK.model_copy(update={"minimum_seconds": 0.001, "minimum_count": 64})
    speed = time_plan(Plan("offline", "host", 16), subject_of(Fake(seconds=0.002)), settings, Meter())
    assert len(speed.samples_ms) == 4


# --- warm-up


def test_paced_frames_that_are_answered_in_time_miss_nothing_and_wait_for_their_moment():
    calls, made = calls_lasting(0.002)
    timed = at_fixed_rate(calls, 50, extent(seconds=0.4, calls=1))
    assert (len(timed.samples_ms), timed.skipped) == (20, 0)
    assert made == list(range(20))
    assert 0.38 <= timed.seconds < 0.6
    assert np.median(timed.samples_ms) < 6


def test_a_session_slower_than_the_frames_skips_the_older_waiting_frame():
    """30 ms per answer at 100 frames per second: of three frames that arrive meanwhile two are skipped."""
    calls, made = calls_lasting(0.030)
    timed = at_fixed_rate(calls, 100, extent(seconds=0.6, calls=1))
    assert len(timed.samples_ms) + timed.skipped == 60
    assert 12 <= len(timed.samples_ms) <= 21
    assert made[0] == 0
    assert np.diff(made)[:-1].min() >= 3  # at the end there may be fewer left to skip
    assert min(timed.samples_ms) >= 30


def test_one_slow_answer_makes_the_waiting_frame_late_and_counts_from_its_arrival():
    calls, _ = calls_lasting(0.001, 0.070, 0.001)
    speed_ms = at_fixed_rate(calls, 25, extent(seconds=0.4, calls=1)).samples_ms
    assert len(speed_ms) == 10
    assert speed_ms[1] >= 70
    assert 30 <= speed_ms[2] < 60  # arrived 40 ms after the slow one began
    assert speed_ms[4] < 20


def test_deadlines_count_late_and_skipped_frames():
    settings = QUICK.model_copy(update={"minimum_seconds": 0.5, "minimum_count": 1})
    plan = Plan("paced", "host", frame_rate=100)
    speed = time_plan(plan, subject_of(Fake(seconds=0.03)), settings, Meter())
    assert (speed.deadlines.deadline_ms, speed.deadlines.frames) == (10, 50)
    assert speed.deadlines.missed == 50
    fast = time_plan(Plan("paced", "host", frame_rate=40), subject_of(Fake(seconds=0.001)), settings, Meter())
    assert (fast.deadlines.frames, fast.deadlines.missed) == (20, 0)


# --- regions


def test_the_device_region_takes_the_clock_of_the_bound_batch_and_frees_it():
    speed = time_plan(Plan("single-stream", "device"), subject_of(Fake()), QUICK, Meter())
    assert set(speed.samples_ms) == {0.25}
    assert speed.clock == "cuda events"
    assert FakeBound.latest.is_closed


def test_device_answers_are_those_of_the_session(workspace):
    session = open_session(workspace / "bundles" / "lesions" / "model.fp32.onnx", "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    bound = session.bind(pixels)
    assert bound.run() > 0
    assert np.allclose(bound.logits(), session.run(pixels), atol=1e-5)
    bound.close()


def test_the_file_region_decodes_and_resizes_real_files(workspace):
    bundle = read_bundle(workspace / "bundles" / "lesions")
    paths = tuple(sorted((workspace / "data" / "lesions" / "red lesion").glob("*.jpg")))
    session = Fake(lambda pixels: np.zeros((len(pixels), 3), np.float32))
    subject = Subject(session, np.zeros((1, 64, 64, 3), np.uint8), bundle.manifest.preprocess, paths)
    with calls_of(subject, "file", 2) as calls:
        assert calls.run(3) > 0
    (batch,) = session.batches
    assert batch.shape == (2, 64, 64, 3)
    assert batch[0].mean((0, 1))[0] > batch[0].mean((0, 1))[2] + 20  # red, and black beside it


# --- plans


def test_plans_by_default_and_without_files(workspace):
    plans = plans_of(PLANS, subject_of(Fake(seconds=0.02)))
    found = [(plan.scenario, plan.region, plan.batch_size, plan.streams, plan.frame_rate) for plan in plans]
    assert found[:2] == [("single-stream", "host", 1, 1, None), ("single-stream", "device", 1, 1, None)]
    assert found[2] == ("offline", "host", 4, 1, None)
    assert found[-4:] == [
        ("paced", "host", 1, 1, 25),
        ("paced", "host", 1, 1, 30),
        ("paced", "host", 1, 1, 60),
        ("multi-stream", "host", 1, 2, None),
    ]
    with_files = plans_of(PLANS, subject_of(Fake(seconds=0.02), paths=(workspace / "x.jpg",)))
    assert [plan.region for plan in with_files if plan.scenario == "single-stream"] == ["host", "device", "file"]


def test_device_only_leaves_out_what_is_a_matter_of_the_host():
    settings = PLANS.model_copy(update={"regions": ("device",)})
    assert {plan.scenario for plan in plans_of(settings, subject_of(Fake()))} == {"single-stream", "offline"}


@pytest.mark.parametrize("scenarios", [("paced",), ("multi-stream",), ("multi-stream", "paced")])
def test_nothing_to_time_is_refused(scenarios):
    settings = PLANS.model_copy(update={"scenarios": scenarios, "regions": ("device",)})
    verb = "are" if scenarios[1:] else "is"
    with pytest.raises(DataError, match=f"nothing to time: {' and '.join(scenarios)} {verb} a") as caught:
        plans_of(settings, subject_of(Fake()))
    assert caught.value.fix == "--region host, or --scenario single-stream"


def test_files_that_are_not_there_and_batches_that_an_engine_does_not_take_are_refused():
    with pytest.raises(DataError, match="there are none"):
        plans_of(QUICK.model_copy(update={"regions": ("file",)}), subject_of(Fake()))
    with pytest.raises(DataError, match="at most 2 frames at once, not 4") as caught:
        plans_of(QUICK, subject_of(Fake(), largest_batch=2))
    assert "gi-edge engine NAME --batch 1:8:4" in caught.value.fix


def test_the_best_batch_size_is_where_throughput_stops_to_grow(monkeypatch):
    """Eight images at once in 40 ms: beyond 8 images the time grows as they do. A busy machine slows no clock here."""
    now_ns = [0]
    monkeypatch.setattr(time, "perf_counter_ns", lambda: now_ns[0])
    monkeypatch.setattr(time, "perf_counter", lambda: now_ns[0] / 1e9)

    def answer(pixels):
        now_ns[0] += 40_000_000 * -(-len(pixels) // 8)
        return np.zeros((len(pixels), 2), np.float32)

    found = best_batch_size(subject_of(Fake(answer)), "host")
    assert found.best == 8
    assert found.tried[:4] == (1, 2, 4, 8)
    assert best_batch_size(subject_of(Fake(answer), largest_batch=4), "host") == BatchSearch(4, (1, 2, 4))


@pytest.mark.parametrize("region", ["host", "device"])
def test_a_batch_that_there_is_no_room_for_ends_the_search_and_is_told(tmp_path, region):
    session = open_session(hungry_graph(tmp_path / "hungry.onnx"), "cpu")
    subject = Subject(session, np.zeros((3, 4, 4, 3), np.uint8), PreprocessSpec(size_px=32))
    found = best_batch_size(subject, region)
    assert found.tried == (1, 2)
    assert found.failed.startswith("ONNX Runtime's CPUExecutionProvider did not compute 4 frames: ")
    settings = QUICK.model_copy(update={"batch_sizes": (), "scenarios": ("offline",), "regions": (region,)})
    plans = plans_of(settings, subject)
    assert max(plan.batch_size for plan in plans) <= 2  # nor is the usual size of 8 timed
    (noted,) = [plan for plan in plans if plan.note]
    assert "chosen by a short search over the batch sizes 1, 2; a larger one failed: ONNX Runtime's" in noted.note
    assert time_plan(noted, subject, settings, Meter()).note == noted.note


def test_a_model_that_does_not_answer_single_frames_is_no_end_of_a_search():
    def answer(pixels):
        raise RuntimeUnavailableError("no room", fix="more of it")

    with pytest.raises(RuntimeUnavailableError, match="no room"):
        best_batch_size(subject_of(Fake(answer)), "host")


# --- after a pause


def test_the_idle_gap_is_told_apart_from_back_to_back():
    last = [time.perf_counter()]

    def answer(pixels):
        rested = time.perf_counter() - last[0]
        time.sleep(0.02 if rested > 0.03 else 0.002)
        last[0] = time.perf_counter()
        return np.zeros((len(pixels), 2), np.float32)

    gap = idle_gap_of(subject_of(Fake(answer)), 50.0)
    assert (gap.gap_ms, gap.count) == (50.0, 10)
    assert gap.p50_ms >= 20
    assert gap.back_to_back_p50_ms < 15
    assert idle_gap_of(subject_of(Fake(answer)), 0) is None
