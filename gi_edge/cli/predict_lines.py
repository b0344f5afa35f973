"""The lines of gi-edge predict."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from gi_edge.cli.predict_sources import Source

if TYPE_CHECKING:
    from gi_edge.runtime.classifier import Prediction

HEADER = ("source", "frame", "time_s", "label", "probability")
"""First columns of the CSV form; one for each class follows."""

_FORMS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}


@dataclass(frozen=True)
class Place:
    """What a line is about."""

    source: Source
    frame: int | None = None
    """Number of a video's frame."""
    time_s: float | None = None
    picture: Image.Image | None = None
    """The frame of a video, where a copy of it is wanted."""

    @property
    def text(self) -> str:
        """The place as a message names it."""
        return shown_name(str(self.source.path)) + ("" if self.time_s is None else f" at {self.time_s:.3f} s")


Line = Callable[[Place, "Prediction"], str]


def form_from_name(output: Path | None) -> str:
    """Return the form that a file's name asks for; text where it asks for none."""
    return _FORMS.get(output.suffix.lower(), "text") if output else "text"


def line_format(form: str, classes: tuple[str, ...]) -> tuple[str, Line]:
    """Return the header, which may be empty, and what makes a line, both without the line's end.

    A file name that is no UTF-8 has surrogates in it, as Python reads it; JSON, which must be UTF-8, has their escapes.
    """
    if form == "csv":
        return _row((*HEADER, *classes)), lambda place, answer: _row(_cells(place, answer))
    if form == "json":
        return "", lambda place, answer: _json_text(_json(place, answer, classes))
    return "", _text


def _text(place: Place, answer: Prediction) -> str:
    cells = [answer.label, f"{answer.probability:.4f}", shown_name(str(place.source.path))]
    if place.frame is not None:
        cells += [str(place.frame), "" if place.time_s is None else f"{place.time_s:.3f}"]
    return "\t".join(cells)


def _json(place: Place, answer: Prediction, classes: tuple[str, ...]) -> dict[str, object]:
    content: dict[str, object] = {"video" if place.source.is_video else "image": str(place.source.path)}
    if place.source.is_video:
        content |= {"frame": place.frame, "time_s": None if place.time_s is None else round(place.time_s, 6)}
    every = zip(classes, _values(answer), strict=True)
    best = {"class": answer.label, "probability": round(answer.probability, 6)}
    return content | best | {"probabilities": dict(every)}


def _json_text(content: dict[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _cells(place: Place, answer: Prediction) -> list[object]:
    frame = "" if place.frame is None else place.frame
    time_s = "" if place.time_s is None else f"{place.time_s:.6f}"
    numbers = [f"{value:.6f}" for value in _values(answer)]
    return [place.source.path, frame, time_s, answer.label, f"{answer.probability:.6f}", *numbers]


def _values(answer: Prediction) -> list[float]:
    assert answer.probabilities is not None
    return [round(float(value), 6) for value in answer.probabilities]


def _row(cells: list[object] | tuple[object, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # only what is in the line's end is quoted in a cell
    return text.getvalue().removesuffix("\r\n")


def shown_name(name: str) -> str:
    """Return a name with its control characters escaped, so that a line stays a line and no terminal obeys it."""
    return "".join(
        repr(character)[1:-1] if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character
        for character in name
    )
