"""Which process tells, by what torchrun and accelerate put into the environment."""

from __future__ import annotations

import pytest

from gi_edge.launcher import is_first, is_first_of_machine, processes_here


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (True, True, 1)),
        ({"RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}, (True, True, 2)),
        ({"RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}, (False, False, 2)),
        ({"RANK": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"}, (False, True, 4)),
    ],
)
def test_a_process_knows_its_place(environment, expected):
    assert (is_first(environment), is_first_of_machine(environment), processes_here(environment)) == expected
