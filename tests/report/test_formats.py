from __future__ import annotations

import pytest

from gi_edge.report.formats import (
    text_from_count,
    text_from_error,
    text_from_list,
    text_from_megabytes,
    text_from_quantity,
    text_from_rate,
    text_from_score,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.01234, "0.0123"),
        (0.9996, "1.00"),
        (3.14159, "3.14"),
        (9.996, "10.0"),
        (24.04, "24.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
    ],
)
def test_quantity_has_three_significant_digits(value, text):
    assert text_from_quantity(value) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.0, "0 %"), (0.001887, "0.19 %"), (0.01, "1 %"), (0.0996, "10 %"), (0.139, "13.9 %"), (1.0, "100 %")],
)
def test_rate_is_percent_that_no_line_break_parts(rate, text):
    assert text_from_rate(rate) == text.replace(" ", "\u00a0")


def test_other_numbers():
    assert text_from_count(17034) == "17,034"
    assert text_from_score(0.65249) == "0.652"
    assert text_from_score(None) == "–"
    assert text_from_error(3.14e-6) == "3.1e-06"
    assert text_from_error(None) == "not finite"
    assert text_from_megabytes(57_012_224) == "57.0"


@pytest.mark.parametrize(
    ("names", "text"), [((), ""), (("a",), "a"), (("a", "b"), "a and b"), (("a", "b", "c"), "a, b and c")]
)
def test_list(names, text):
    assert text_from_list(names) == text
