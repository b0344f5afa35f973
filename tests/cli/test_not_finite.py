"""Options that take a number: nan and inf are none of them."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("words", [("predict", "lesions", "a.mp4", "--fps"), ("doctor", "--timeout")])
@pytest.mark.parametrize("number", ["nan", "inf", "1e999"])
def test_a_number_that_is_not_finite_is_refused(gi_edge, tmp_path, words, number):
    done = gi_edge(*words, number, cwd=tmp_path)
    assert done.code == 2
    assert f"Invalid value for '{words[-1]}': {float(number)} is not a finite number." in done.err
