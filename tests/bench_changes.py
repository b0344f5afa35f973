"""Bench results changed on purpose: other times, other verdicts, other fields of every model."""

from __future__ import annotations

import numpy as np

from gi_edge.metrics.latency import latency_summary


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
