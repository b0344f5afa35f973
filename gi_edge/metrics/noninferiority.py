"""How much could a score have lost, given the few frames that changed? Bounds for rare events in clustered frames.

A paired bootstrap of an engine that changed no frame says "0 to 0", whether there are ten frames or ten thousand: what
was never seen cannot be resampled. So losses are bounded as rare events. Each changed frame costs a score something, or
gains it something; a loss is a weighted sum of counts that are close to Poisson.

- Upper bound of such a sum: Fay and Feuer 1997 (the gamma interval of standardised rates). With no change at all it is
  −ln 0.05 = 3.0 times the costliest change, the rule of three; with equal costs it is the exact Poisson bound.
- Costs minus gains: Zou and Donner 2008 (MOVER), which joins the bounds of the two sides.
- Frames of one video are not independent: counts are divided by the design effect (Kish 1965), as Korn and Graubard
  1998 do for rare events in surveys.
- Not worse by more than a margin, in place of "no significant difference": Piaggio et al. 2012 (CONSORT).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gamma

from gi_edge.metrics.resample import group_indices

CONFIDENCE = 0.95
"""Of each one-sided bound."""

EVENTS_AT_ZERO = float(-np.log(1 - CONFIDENCE))
"""Upper bound of the expected number of events where none was seen: 3.0, the rule of three."""

_NEAREST = 0.1
"""Share of the frames, those nearest to a change of class, by whose clustering that of the changes is judged."""

Floats = NDArray[np.float64]


class Bounds(NamedTuple):
    """One-sided bounds of a loss; positive is worse."""

    lower: float
    upper: float


class FlipCosts(NamedTuple):
    """What one changed frame costs the macro-F1, in two parts: the class it leaves and the class it joins.

    Each [classes]; negative is a gain. Classes that are absent from the truth cost nothing.
    """

    right_leaves: Floats
    wrong_leaves: Floats
    right_joins: Floats
    wrong_joins: Floats

    def of(self, truth: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64]) -> Floats:
        """Return the cost [n] of each frame, from class indices [n]; 0 where before equals after."""
        leave = np.where(before == truth, self.right_leaves[before], self.wrong_leaves[before])
        join = np.where(after == truth, self.right_joins[after], self.wrong_joins[after])
        costs: Floats = np.where(before == after, 0.0, leave + join)
        return costs

    def costliest(self) -> tuple[int, float]:
        """Return the class whose right answer is the dearest to lose, and what losing it costs."""
        joins = np.broadcast_to(self.wrong_joins, (len(self.wrong_joins),) * 2).copy()
        np.fill_diagonal(joins, 0.0)
        costs = np.where(self.right_leaves > 0, self.right_leaves + joins.max(axis=1), 0.0)
        return int(costs.argmax()), float(costs.max())


def flip_costs(confusion: NDArray[np.int64]) -> FlipCosts:
    """Return the change of macro-F1 by one changed frame, from the reference's counts [C, C], rows the truth."""
    counts = confusion.astype(np.float64)
    support, answered, hits = counts.sum(axis=1), counts.sum(axis=0), np.diagonal(counts)
    present = support > 0
    share = present / present.sum()

    def f1(hit: Floats, answer: Floats) -> Floats:
        score: Floats = 2 * np.maximum(hit, 0.0) / np.maximum(support + answer, 1.0)
        return score

    now = f1(hits, answered)
    return FlipCosts(
        right_leaves=share * np.where(hits > 0, now - f1(hits - 1, answered - 1), 0.0),
        wrong_leaves=share * np.where(answered > hits, now - f1(hits, answered - 1), 0.0),
        right_joins=share * (now - f1(hits + 1, answered + 1)),
        wrong_joins=share * (now - f1(hits, answered + 1)),
    )


class Most(NamedTuple):
    """The most that can happen, in units of the score."""

    cost: float
    """Of one changed frame."""
    gain: float
    """Of all together: no more than what the reference has wrong."""


def loss_bounds(costs: Floats, most: Most, design_effect: float, fail_confidence: float) -> Bounds:
    """Bound the expected sum of costs; the upper bound at CONFIDENCE, the lower at fail_confidence.

    costs: what each changed frame cost, a gain below 0. design_effect: how many frames count as one.
    """
    harm, gain = costs[costs > 0], -costs[costs < 0]
    loss = float(harm.sum() - gain.sum())
    above = _upper(harm, most.cost, design_effect, CONFIDENCE) - harm.sum()
    kept = gain.sum() - _lower(gain, design_effect, CONFIDENCE)
    below = harm.sum() - _lower(harm, design_effect, fail_confidence)
    unseen = min(_upper(gain, most.cost, design_effect, fail_confidence), max(most.gain, gain.sum())) - gain.sum()
    return Bounds(lower=loss - float(np.hypot(below, unseen)), upper=loss + float(np.hypot(above, kept)))


def _upper(weights: Floats, heaviest: float, design_effect: float, level: float) -> float:
    heaviest = design_effect * max(heaviest, float(weights.max(initial=0.0)))
    if heaviest <= 0:
        return 0.0
    mean = weights.sum() + heaviest
    variance = design_effect * (weights**2).sum() + heaviest**2
    return float(gamma.ppf(level, mean**2 / variance, scale=variance / mean))


def _lower(weights: Floats, design_effect: float, level: float) -> float:
    if not len(weights):
        return 0.0
    mean, variance = weights.sum(), design_effect * (weights**2).sum()
    return float(gamma.ppf(1 - level, mean**2 / variance, scale=variance / mean))


def change_correlation(lead: Floats, groups: Sequence[str] | None) -> float:
    """Return how alike frames of one group are in changing their class, 0 to 1; 0 without groups.

    lead [n]: how far each frame is from a change, below 0 where it changed. Changes are too few to tell, so this is
    the intraclass correlation of the tenth of the frames that come nearest to one; or, if larger, of the changes.
    A fault that strikes whole videos and leaves no trace in the leads of the others is not foreseen by it.
    """
    if groups is None:
        return 0.0
    units = group_indices(groups, len(lead))
    nearest = np.zeros(len(lead), dtype=bool)
    nearest[np.argsort(lead, kind="stable")[: max(1, round(_NEAREST * len(lead)))]] = True
    changed = lead < 0
    found = [intraclass_correlation(nearest | changed, units)]
    if changed.sum() > 1:
        found.append(intraclass_correlation(changed, units))
    return max(found)


def intraclass_correlation(member: NDArray[np.bool_], units: NDArray[np.int64]) -> float:
    """Return the ANOVA estimate of a yes or no [n] in units [n], at least 0 (Ridout, Demétrio and Firth 1999)."""
    sizes = np.bincount(units).astype(np.float64)
    n, count = len(units), len(sizes)
    if count < 2 or n == count:
        return 0.0
    shares = np.bincount(units, member) / sizes
    mean = member.mean()
    between = (sizes * (shares - mean) ** 2).sum() / (count - 1)
    within = (sizes * shares * (1 - shares)).sum() / (n - count)
    typical = (n - (sizes**2).sum() / n) / (count - 1)
    spread = between + (typical - 1) * within
    return float(np.clip((between - within) / spread, 0.0, 1.0)) if spread > 0 else 0.0


def design_effect(correlation: float, groups: Sequence[str] | None) -> float:
    """Return how many frames of these groups count as one independent frame, at least 1 (Kish 1965)."""
    if groups is None or not len(groups):
        return 1.0
    sizes = np.bincount(group_indices(groups, len(groups))).astype(np.float64)
    return 1 + correlation * float((sizes**2).sum() / sizes.sum() - 1)
