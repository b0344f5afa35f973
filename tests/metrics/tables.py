"""Random predictions that tests of the metrics share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Table(NamedTuple):
    truth: np.ndarray
    probabilities: np.ndarray
    groups: list[str]

    @property
    def answer(self):
        return self.probabilities.argmax(axis=1)

    @property
    def classes(self):
        return tuple("abcdefgh"[: self.probabilities.shape[1]])


def random_table(seed: int, *, n: int = 300, classes: int = 4, groups: int = 20, ties: bool = False) -> Table:
    """Every class occurs in the truth; with ties the probabilities are multiples of 1/8."""
    random = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), random.choice(classes, n - classes, p=random.dirichlet([2] * classes))])
    logits = random.normal(0, 1, (n, classes))
    logits[np.arange(n), truth] += random.uniform(0, 2)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if ties:
        probabilities = random.multinomial(8, probabilities / probabilities.sum(axis=1, keepdims=True)) / 8
    return Table(truth, probabilities, [f"v{i}" for i in random.integers(0, groups, n)])
