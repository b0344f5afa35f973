"""Text and tables as GitHub Markdown shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]|~#@])")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, words: int) -> str:
    """Return a table whose first columns hold words and whose others hold numbers."""
    lines = [headings, ["---"] * words + ["---:"] * (len(headings) - words)]
    head = [" | ".join(line) for line in lines]
    body = [" | ".join(escaped(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in (*head, *body))


def escaped(text: str) -> str:
    """Return text that Markdown shows as it stands, on one line."""
    one_line = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split(" "))
    return _SPECIAL.sub(r"\\\1", re.sub(r"[\r\n]+", " ", one_line))
