"""A split audit as one self-contained page. Needs matplotlib and jinja2 (the report extra)."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from gi_edge.data.audit import SplitAudit
from gi_edge.report.audit_cells import (
    absent_note,
    baseline_rows,
    conflict_words,
    few_frames_note,
    notes_from_audit,
    outcome_from_audit,
    pair_rows,
    parts_sentence,
    support_rows,
    text_from_baseline,
)
from gi_edge.report.formats import text_from_count
from gi_edge.report.pages import page_environment
from gi_edge.report.sheets import data_uri_from_image
from gi_edge.report.svg import MUTED, SERIES, drawing, svg_from_figure

NAMED_CONFLICTS = 50
"""Files under two labels that are named; the JSON form names all."""

_POINTS_PER_INCH = 72


@dataclass(frozen=True)
class _Picture:
    uri: str
    width: int
    height: int


def page_from_audit(audit: SplitAudit, *, title: str, sheet: Image.Image | None = None) -> str:
    """Return a self-contained HTML page, the verdict first. Equal input, equal bytes.

    title: the dataset and where the split comes from. sheet: the near-duplicate pairs, as sheet_from_pairs draws
    them.
    """
    return (
        page_environment()
        .get_template("audit.html.j2")
        .render(
            audit=audit,
            title=title,
            outcome=outcome_from_audit(audit),
            parts=parts_sentence(audit),
            baselines=baseline_rows(audit),
            baseline_svg=baseline_plot(audit, name="baselines"),
            pairs=pair_rows(audit),
            support=support_rows(audit),
            conflicts=[(item.file, conflict_words(item)) for item in audit.conflicts[:NAMED_CONFLICTS]],
            conflicts_left=text_from_count(max(0, len(audit.conflicts) - NAMED_CONFLICTS)),
            absent_note=absent_note(audit),
            few_frames_note=few_frames_note(audit),
            notes=notes_from_audit(audit),
            sheet=None if sheet is None else _Picture(data_uri_from_image(sheet), sheet.width, sheet.height),
        )
    )


def baseline_plot(audit: SplitAudit, *, name: str) -> str:
    """Return accuracy and macro-F1 of the rules that see no pixel, as bars from 0 to 1. name is the prefix of ids."""
    rules = [("majority", audit.majority.accuracy, audit.majority.macro_f1, SERIES[0])]
    if audit.pixel_free is not None:
        rules.append(("pixel-free", audit.pixel_free.accuracy, audit.pixel_free.macro_f1, SERIES[1]))
    with drawing(name) as figure:
        figure.set_size_inches(520 / _POINTS_PER_INCH, (60 + 56 * len(rules)) / _POINTS_PER_INCH)
        axes = figure.add_axes((0, 0, 1, 1))
        places, labels = [], []
        for number, (rule, accuracy, macro_f1, colour) in enumerate(rules):
            for offset, (score, value) in enumerate((("accuracy", accuracy), ("macro-F1", macro_f1))):
                place = offset * (len(rules) + 0.6) + number
                axes.barh(place, value, height=0.72, color=colour)
                axes.text(value + 0.012, place, text_from_baseline(value), va="center", fontsize=11)
                places.append(place)
                labels.append(f"{score}, {rule}")
        axes.set_yticks(places, labels)
        axes.set_xlim(0, 1.0)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0, labelcolor=MUTED)
        return svg_from_figure(figure, name=name, label="Scores of the rules that look at no pixel")
