"""How long the intervals of a large test part take: python bench/intervals.py [frames] [resamples]

Draws labelled frames of 14 and 27 classes in videos of unequal length, and times what `gi-edge evaluate` asks for.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray

from gi_edge.metrics.evaluation import Baselines, Context, evaluation_from_predictions
from gi_edge.metrics.resample import Bootstrap
from gi_edge.metrics.uncertainty import intervals_from_predictions

CASES = ((14, None), (14, 43), (14, 2_000), (27, 5_000))
"""Number of classes, and of groups."""


def predictions(
    frames: int, classes: int, groups: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str] | None]:
    """Return truth [frames], probabilities [frames, classes] and group names [frames]; classes are unequal."""
    random = np.random.default_rng(0)
    shares = 1 / np.arange(1, classes + 1) ** 1.5
    truth = random.choice(classes, frames, p=shares / shares.sum())
    logits = random.normal(0, 1, (frames, classes))
    logits[np.arange(frames), truth] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if groups is None:
        return truth, probabilities, None
    lengths = random.dirichlet(np.full(groups, 2.0))
    return truth, probabilities, [f"video {i}" for i in random.choice(groups, frames, p=lengths)]


def main(frames: int = 50_000, resamples: int = 10_000) -> None:
    """Time every case and write a line for each."""
    nobody = Baselines(majority_label="0", majority_accuracy=0, majority_macro_f1=0, pixel_free_accuracy=None)
    for classes, groups in CASES:
        truth, probabilities, names = predictions(frames, classes, groups)
        bootstrap = Bootstrap(resamples=resamples)
        labels = tuple(str(i) for i in range(classes))
        context = Context(model="", part="test", group_noun="video", baselines=nobody, bootstrap=bootstrap)
        start = time.perf_counter()
        intervals_from_predictions(truth, probabilities.argmax(axis=1), labels, names, bootstrap)
        counted = time.perf_counter()
        evaluation_from_predictions(truth, probabilities, labels, context, names)
        done = time.perf_counter()
        sys.stdout.write(
            f"{frames} frames, {classes} classes, {groups or 'no'} groups, {resamples} resamples: "
            f"intervals of all scores of the confusion matrix {counted - start:.1f} s; "
            f"whole evaluation with rankings ({bootstrap.frame_resamples} resamples) {done - counted:.1f} s\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
