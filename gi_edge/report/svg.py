"""From a matplotlib figure to SVG that can stand inside a page, on a light or a dark ground."""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.style
from matplotlib.figure import Figure

INK = "#111213"
MUTED = "#6a6b69"
LINE = "#dddcd5"
CELL = "#184f95"
CELL_INK = "#fefefe"
SERIES = ("#2a78d6", "#eb6834", "#1baf7a", "#4a3aa7", "#e87ba4", "#008300", "#eda100", "#e34948")
"""Colours of models, in fixed order; the page redefines them for a dark ground."""

_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_PAINTS = {
    INK: "currentColor",
    MUTED: f"var(--muted, {MUTED})",
    LINE: f"var(--line, {LINE})",
    CELL: f"var(--cell, {CELL})",
    CELL_INK: f"var(--cell-ink, {CELL_INK})",
    **{colour: f"var(--series-{number}, {colour})" for number, colour in enumerate(SERIES, start=1)},
}
_STYLE = {
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 11,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
}
_TAG = re.compile(r"<[^>]+>")
_PREAMBLE = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</style>\s*</defs>\s*", re.DOTALL)


@contextmanager
def drawing(name: str) -> Iterator[Figure]:
    """Yield an empty figure, drawn in the style of the report whatever the user's matplotlibrc says.

    Call svg_from_figure within the context. name makes the generated ids stable.
    """
    with matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": name}], after_reset=True):
        yield Figure()


def svg_from_figure(figure: Figure, *, name: str, label: str) -> str:
    """Return SVG without a fixed ground, whose one unit is one CSS pixel, whose text is text and keeps `<` and `$`.

    name prefixes every id and must be unique in the page: letters, digits and hyphens. label is read aloud by
    screen readers. Inside a page the colours follow its CSS variables.
    """
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the reader's fonts draw the text
        figure.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    bare = _PREAMBLE.sub("", buffer.getvalue())
    inlined = _TAG.sub(lambda match: _inline_tag(match.group(), name), bare)
    head = (
        f'<svg role="img" aria-label="{html.escape(label)}" '
        f'style="font-family: {_FONTS}; stroke-linejoin: round; stroke-linecap: butt"'
    )
    return inlined.replace("<svg", head, 1).strip()


def _inline_tag(tag: str, name: str) -> str:
    tag = re.sub(r"'DejaVu Sans'[^;\"]*", _FONTS, tag)
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'(href="|url\()#', rf"\1#{name}-", tag)
    if tag.startswith("<svg"):
        tag = re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', tag)
    return re.sub(r"#[0-9a-f]{6}\b", lambda match: _PAINTS.get(match.group(), match.group()), tag)
