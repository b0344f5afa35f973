"""No percentile below the count that it needs."""

from __future__ import annotations

import numpy as np
import pytest

from gi_edge.metrics.latency import latency_summary


@pytest.mark.parametrize(
    ("count", "present"),
    [
        (1, {"p50"}),
        (63, {"p50"}),
        (64, {"p50", "p90"}),
        (129, {"p50", "p90"}),
        (130, {"p50", "p90", "p95"}),
        (661, {"p50", "p90", "p95"}),
        (662, {"p50", "p90", "p95", "p99"}),
    ],
)
def test_percentiles_appear_at_their_counts(count, present):
    summary = latency_summary(np.linspace(1, 2, count))
    found = {name for name in ("p50", "p90", "p95", "p99") if getattr(summary, f"{name}_ms") is not None}
    assert found == present


def test_values():
    summary = latency_summary(np.arange(1, 1002, dtype=np.float64))
    assert (summary.count, summary.mean_ms, summary.p50_ms, summary.p90_ms, summary.p99_ms) == (
        1001,
        501,
        501,
        901,
        991,
    )
    assert summary.coefficient_of_variation == pytest.approx(np.sqrt((1001**2 - 1) / 12) / 501)
