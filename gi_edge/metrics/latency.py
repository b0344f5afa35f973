"""Summaries of latency samples; no percentile without the sample count it needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gi_edge.config import Value

MINIMUM_COUNT = {"p50": 1, "p90": 64, "p95": 130, "p99": 662}
"""Queries that a percentile needs at confidence 0.99 (MLPerf Inference, early stopping); p50 is the median."""


class LatencySummary(Value):
    """Percentiles in milliseconds; None where there were too few samples for it."""

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    coefficient_of_variation: float
    """Standard deviation over mean; trtexec warns above 0.025."""


def latency_summary(samples_ms: NDArray[np.float64]) -> LatencySummary:
    """Summarise samples [n] in milliseconds, n at least 1."""
    count = len(samples_ms)
    values = {
        name: float(np.percentile(samples_ms, int(name[1:]))) if count >= minimum else None
        for name, minimum in MINIMUM_COUNT.items()
    }
    mean = float(samples_ms.mean())
    return LatencySummary(
        count=count,
        mean_ms=mean,
        p50_ms=float(np.percentile(samples_ms, 50)),
        p90_ms=values["p90"],
        p95_ms=values["p95"],
        p99_ms=values["p99"],
        coefficient_of_variation=float(samples_ms.std() / mean) if mean else 0.0,
    )
