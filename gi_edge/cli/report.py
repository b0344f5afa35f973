"""gi-edge report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gi_edge.cli.options import path_not_empty

if TYPE_CHECKING:
    from gi_edge.artifacts.results import BenchResult


@click.command()
@click.argument("result", type=path_not_empty)
def command(result: Path) -> None:
    """Render RESULT, a .json of gi-edge bench, as a page beside it.

    For results from a device that has no report extra.
    """
    from gi_edge.artifacts.results import read_result
    from gi_edge.cli.console import ConsoleProgress, shown_path

    page = write_page(result, read_result(result))
    ConsoleProgress().say(f"wrote {shown_path(page)}")


def write_page(path: Path, result: BenchResult) -> Path:
    """Write the page of a result beside its .json. Raises: MissingDependencyError without the report extra."""
    from gi_edge.deps import extra
    from gi_edge.files import write_atomic
    from gi_edge_bench.config import BenchSettings

    with extra("report"):
        from gi_edge.report.html import page_from_result
    page = path.with_suffix(".html")
    write_atomic(page, page_from_result(result, BenchSettings().model_dump(mode="json")))
    return page
