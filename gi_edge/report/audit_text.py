"""A split audit as lines for a terminal of 100 columns. Needs rich only."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gi_edge.data.audit import SplitAudit
from gi_edge.report.audit_cells import (
    absent_note,
    baseline_rows,
    conflict_words,
    few_frames_note,
    notes_from_audit,
    pair_rows,
    parts_sentence,
    support_rows,
)
from gi_edge.report.formats import text_from_count

COLUMNS = 100
NAMED_CONFLICTS = 10
"""Files under two labels that are named; the JSON form names all."""


def lines_from_audit(audit: SplitAudit) -> list[str]:
    """Return the verdict, the tables and the notes; no line is wider than COLUMNS."""
    nouns = f"{audit.group_noun}s"
    near = ("Near\npairs", "Frames in\nnear pairs") if audit.near_duplicates is not None else ()
    lines = [
        *_wrapped(audit.verdict),
        *_wrapped(parts_sentence(audit)),
        "",
        f"What scores on part '{audit.test}' without looking at a pixel",
        *_table(
            ("Rule", "Accuracy", "Macro-F1", "Frames it answered"),
            [(row.name, row.accuracy, row.macro_f1, row.applied) for row in baseline_rows(audit)],
        ),
        *_notes(*(f"{row.name}: {row.rule}." for row in baseline_rows(audit)), absent_note(audit)),
        "",
        "What the parts have in common (frames and shares are of the second part)",
        *_table(
            ("Parts", f"{nouns.capitalize()}\nin both", f"Frames in\nthose {nouns}", "Files\nin both", *near, ""),
            [
                (
                    row.parts,
                    row.groups,
                    row.frames,
                    row.files,
                    *((row.near_pairs, row.near_frames) if near else ()),
                    "leak" if row.is_leak else "",
                )
                for row in pair_rows(audit)
            ],
        ),
        "",
        f"Support of each class: frames / {nouns}",
        *_table(
            ("Class", *(part.part for part in audit.parts)),
            [(row.label, *(f"{frames} / {groups}" for frames, groups in row.cells)) for row in support_rows(audit)],
        ),
        *_notes(few_frames_note(audit)),
        *_conflict_lines(audit),
        "",
        *_notes(*notes_from_audit(audit)),
    ]
    return "\n".join(line.rstrip() for line in lines).rstrip().split("\n")


def _conflict_lines(audit: SplitAudit) -> list[str]:
    if not audit.conflicts:
        return []
    rows = [(conflict.file, conflict_words(conflict)) for conflict in audit.conflicts[:NAMED_CONFLICTS]]
    rest = len(audit.conflicts) - len(rows)
    more = [f"  and {text_from_count(rest)} more"] if rest else []
    return ["", "Files under two labels", *_table(("File", "Labels"), rows, right=False), *more]


def _notes(*notes: str | None) -> list[str]:
    return [line for note in notes if note for line in _wrapped(f"· {note}")]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, subsequent_indent="  " if text.startswith("· ") else "")


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: bool = True) -> list[str]:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, highlight=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number and right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    buffer = io.StringIO()
    Console(file=buffer, width=COLUMNS, color_system=None, legacy_windows=False).print(table)
    return [line for line in buffer.getvalue().splitlines() if line.strip()]
