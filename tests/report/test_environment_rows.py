"""Where a result was measured, in words."""

from __future__ import annotations

import pytest
from bench_large import large_result

from gi_edge.report.environment_rows import environment_facts, gpu_panels, settings_facts


def test_what_is_not_known_is_left_out(make):
    facts = dict(environment_facts(make.result()))
    assert facts["NVIDIA GPUs"] == "none"
    assert facts["Processor"] == "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz, 2 logical CPUs"
    assert facts["onnxruntime"] == "1.23.2"
    assert not {"Board", "CPU governor", "CPU load", "Memory", "Container", "Providers", "Threads set"} & set(facts)


def test_what_is_known_is_told():
    facts = dict(environment_facts(large_result()))
    assert facts["CPU load"] == "3.1 before the runs, 4.7 after (processes that wanted a CPU, mean of one minute)"
    assert facts["Memory"] == "128 GiB"
    assert facts["gi-edge"] == "0.1.0 4edc50c+changes"
    assert facts["Threads set"] == "OMP_NUM_THREADS=1"
    assert facts["NVIDIA GPUs"] == "NVIDIA A100 80GB PCIe, driver 570.86.15"


def test_gpu_state_before_and_after():
    (panel,) = gpu_panels(large_result().environment)
    assert panel.facts == "driver 570.86.15, CUDA up to 12.8, compute capability 8.0, 80 GiB"
    assert panel.rows == (
        ("SM clock, MHz (of 1,410)", "1,410", "1,155"),
        ("Memory clock, MHz", "1,593", "1,593"),
        ("Temperature, °C", "61", "84"),
        ("Power, W (of 300)", "188", "188"),
        ("Slowed by", "nothing", "SW thermal slowdown"),
        ("Other processes", "0", "1"),
    )


def test_a_gpu_that_does_not_say_what_slows_it_gets_a_dash():
    (gpu,) = large_result().environment.gpus
    silent = gpu.after.model_copy(update={"throttle_reasons": None})
    place = large_result().environment.model_copy(update={"gpus": (gpu.model_copy(update={"after": silent}),)})
    (panel,) = gpu_panels(place)
    assert panel.rows[4] == ("Slowed by", "nothing", "–")


@pytest.mark.parametrize(("states", "rows"), [((), 0), (("before",), 6), (("before", "after"), 6)])
def test_a_gpu_that_tells_nothing_has_no_rows(states, rows):
    (gpu,) = large_result().environment.gpus
    kept = gpu.model_copy(update={name: None for name in ("before", "after") if name not in states})
    environment = large_result().environment.model_copy(update={"gpus": (kept,)})
    (panel,) = gpu_panels(environment)
    assert len(panel.rows) == rows
    assert all(row[2] == "–" for row in panel.rows) or "after" in states


@pytest.mark.parametrize(
    ("value", "words"),
    [([1, 8], "1, 8"), ([], "none"), (True, "yes"), (None, "not set"), (2.5, "2.5"), ({"a": 1}, '{"a": 1}')],
)
def test_settings_in_words(make, value, words):
    result = make.result().model_copy(update={"settings": {"batch_sizes": value}})
    assert settings_facts(result) == (("batch sizes", words),)
