"""What is drawn, how often, and that it does not depend on how the work is cut."""

from __future__ import annotations

import numpy as np
import pytest

from gi_edge.metrics import resample
from gi_edge.metrics.resample import resampled_sums, units_from_cells, units_from_values, weights_from_copies

GROUPS = ["b", "a", "b", "c", "a"]
CELLS = np.array([[0], [1], [0], [3], [3]])


def weights(copies, resamples, seed=0):
    return np.concatenate(list(weights_from_copies(np.array(copies), resamples, seed, width=1)))


def test_units_are_groups_by_name_and_without_groups_kinds_of_frames():
    by_group = units_from_cells(CELLS, 4, GROUPS)
    assert by_group.tables.tolist() == [[0, 1, 0, 1], [2, 0, 0, 0], [0, 0, 0, 1]]
    assert by_group.copies.tolist() == [1, 1, 1]
    by_kind = units_from_cells(CELLS, 4, None)
    assert by_kind.tables.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert by_kind.copies.tolist() == [2, 1, 2]


def test_values_add_up_by_group():
    values = np.arange(10.0).reshape(5, 2)
    assert units_from_values(values, GROUPS).tables.tolist() == [[10, 12], [4, 6], [6, 7]]
    assert units_from_values(values, None).tables.tolist() == values.tolist()


@pytest.mark.parametrize("copies", [[1] * 12, [5, 1, 6]])
def test_a_resample_draws_as_many_as_there_are_and_each_as_often_on_average(copies):
    drawn = weights(copies, 20_000)
    assert (drawn.sum(axis=1) == 12).all()
    share = np.array(copies) / 12
    assert drawn.mean(axis=0) == pytest.approx(np.array(copies), abs=0.06)
    assert drawn.var(axis=0) == pytest.approx(12 * share * (1 - share), rel=0.05)


@pytest.mark.parametrize("groups", [GROUPS, None])
def test_sums_are_weights_times_tables_however_the_work_is_cut(groups, monkeypatch):
    units = units_from_cells(CELLS, 4, groups)
    whole = np.concatenate(list(resampled_sums(units, 100, seed=3)))
    assert (whole == weights(units.copies, 100, seed=3) @ units.tables).all()
    monkeypatch.setattr(resample, "_CHUNK", 28)
    parts = list(resampled_sums(units, 100, seed=3))
    assert len(parts) > 10
    assert (np.concatenate(parts) == whole).all()
