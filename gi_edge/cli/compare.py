"""gi-edge compare."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("adapters", nargs=-1, required=True)
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder, where gi-edge.toml does not say.")
@click.option("--weights", type=click.Path(path_type=Path), help="Base weights file, where gi-edge.toml does not say.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the comparison as JSON into this file too.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON instead of the tables.")
def command(
    adapters: tuple[str, ...], data: Path | None, weights: Path | None, output: Path | None, as_json: bool
) -> None:
    """Put ADAPTERS beside one another: cost, scores with intervals, and paired differences to the first.

    All must have been tested on the same frames: train them on one split of gi-edge data split.
    """
    from gi_edge.artifacts.adapter import read_adapter
    from gi_edge.artifacts.comparison import check_comparable, comparison_of
    from gi_edge.cli.console import ConsoleProgress, print_table, print_text, shown_path, workspace
    from gi_edge.cli.datasets import data_folder
    from gi_edge.config import json_from_value
    from gi_edge.deps import extra
    from gi_edge.files import check_writable, write_atomic
    from gi_edge.report.comparison_text import table_from_comparison

    if len(adapters) < 2:
        raise click.UsageError("a comparison needs two adapters or more")
    place, progress = workspace(), ConsoleProgress()
    if output is not None:
        check_writable(output, force=False, other="--output FILE")
    compared = [read_adapter(place.adapter_path(name)) for name in adapters]
    check_comparable(compared)
    with extra("train"):
        from gi_edge_training.evaluate import predictions_of_adapter
    base = weights or place.train_settings.get("weights")
    answers = [
        predictions_of_adapter(item, data_folder(place, item.manifest.dataset.name, data), base, "test", progress)
        for item in compared
    ]
    comparison = comparison_of(compared, answers)
    print_text(comparison.model_dump_json()) if as_json else print_table(table_from_comparison(comparison))
    if output is not None:
        write_atomic(output, json_from_value(comparison))
        progress.say(f"wrote {shown_path(output)}")
