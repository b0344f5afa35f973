"""Numbers as people read them. The one place that decides digits, so that every rendering shows the same."""

from __future__ import annotations

NOT_MEASURED = "–"
_NO_BREAK = "\u00a0"


def text_from_count(count: int) -> str:
    """Return a count with thousands separators."""
    return f"{count:,}"


def text_from_score(score: float | None) -> str:
    """Return a score in -1..1 with three decimals; a dash for None."""
    return NOT_MEASURED if score is None else f"{score:.3f}"


def text_from_rate(rate: float) -> str:
    """Return a rate in 0..1 as percent, with two significant digits below 10 %."""
    percent = 100 * rate
    digits = f"{percent:.1f}" if percent >= 9.95 else f"{percent:.2g}"
    return f"{digits.removesuffix('.0')}{_NO_BREAK}%"


def text_from_quantity(value: float | None) -> str:
    """Return milliseconds, megabytes or images per second with three significant digits; a dash for None."""
    if value is None:
        return NOT_MEASURED
    if value >= 99.95:
        return f"{value:,.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.9995 else f"{value:.3g}"


def text_from_megabytes(size_bytes: int) -> str:
    """Return a file size in megabytes of 1,000,000 bytes."""
    return text_from_quantity(size_bytes / 1e6)


def text_from_error(error: float | None) -> str:
    """Return a logit difference with two significant digits; None means that a logit was NaN or infinite."""
    return "not finite" if error is None else f"{error:.2g}"


def text_from_list(names: tuple[str, ...]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
