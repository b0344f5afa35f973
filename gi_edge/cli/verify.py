"""gi-edge verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gi_edge.cli.options import not_empty

if TYPE_CHECKING:
    from rich.table import Table

    from gi_edge_export.bundle_check import BundleCheck

_STYLES = {"pass": "green", "fail": "bold red", "skipped": "yellow"}


@click.command()
@click.argument("bundle", type=not_empty)
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON instead of the table.")
def command(bundle: str, as_json: bool) -> None:
    """Check BUNDLE again: every hash, every graph, the reference, every engine.

    Exit code 3 if a check says no. The hashes are the bundle's own, so this finds damage and mix-ups; against
    somebody who may write to the folder, compare the sha256 of the manifest with one kept elsewhere. Needs no torch.
    """
    from gi_edge.cli.console import print_table, print_text, workspace
    from gi_edge.errors import GateError
    from gi_edge_export.bundle_check import check_bundle

    result = check_bundle(workspace().bundle_path(bundle))
    print_text(result.model_dump_json()) if as_json else print_table(_table(result))
    if result.failed:
        first, *others = result.failed
        more = f", and {len(others)} more" if others else ""
        raise GateError(
            f"{result.bundle} is not as it was made: {first.name}: {first.detail}{more}",
            fix="copy it again from where it was made; for an engine alone: gi-edge engine BUNDLE --force",
        )


def _table(result: BundleCheck) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        title=f"{result.bundle}\nmanifest sha256 {result.manifest_sha256 or 'none'}",
        title_justify="left",
        title_style="",
    )
    table.add_column("Check", overflow="fold")
    table.add_column("Says")
    table.add_column("Found", overflow="fold")
    for check in result.checks:
        table.add_row(Text(check.name), Text(check.status, style=_STYLES[check.status]), Text(check.detail))
    return table
