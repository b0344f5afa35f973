"""gi-edge compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gi_edge.cli.options import force_option, not_empty

if TYPE_CHECKING:
    from gi_edge.artifacts.bench_comparison import BenchComparison
    from gi_edge.config import Value


@click.command()
@click.argument("compared", nargs=-1, required=True, type=not_empty)
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder, where gi-edge.toml does not say.")
@click.option("--weights", type=click.Path(path_type=Path), help="Base weights file, where gi-edge.toml does not say.")
@click.option(
    "--max-regression",
    metavar="PERCENT",
    help="Of results: exit code 3 where one is surely slower by more, such as 5%, a verdict got worse, or a model, "
    "scenario or verdict of the first is missing.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Write the comparison as JSON into this file too.")
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON instead of the tables.")
def command(compared: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401
    """Put adapters, or .json results of gi-edge bench, beside one another.

    Adapters: cost, scores with intervals, and paired differences to the first. All must have been tested on the same
    frames: train them on one split of gi-edge data split.

    Results: verdicts, latencies with intervals of their ratios, and what differs between the machines.
    """
    from gi_edge.cli.outputs import check_output_file

    results = [name for name in compared if name.endswith(".json")]
    if results and len(results) < len(compared):
        raise click.UsageError("compare adapters, or .json results of gi-edge bench, not both at once")
    if len(compared) < 2:
        raise click.UsageError("a comparison needs two adapters or more, or two results or more")
    limit = None if given["max_regression"] is None else _share(given["max_regression"])
    if limit is not None and not results:
        raise click.UsageError("--max-regression is for .json results of gi-edge bench")
    if given["output"] is not None:
        check_output_file(
            given["output"],
            force=given["force"],
            kinds=("comparison", "bench-comparison"),
            inputs=[Path(name) for name in results],
        )
    if not results:
        _compare_adapters(compared, given)
        return
    _compare_results(compared, limit, given)


def _check_distinct(names: tuple[str, ...], paths: list[Path]) -> None:
    """Raise UsageError if two names are of one file or folder."""
    known: dict[Path, str] = {}
    for name, path in zip(names, paths, strict=True):
        if path.resolve() in known:
            raise click.UsageError(f"{known[path.resolve()]} and {name} are the same: a comparison needs two")
        known[path.resolve()] = name


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share < 10:
        raise click.UsageError(f"--max-regression takes percent, such as 5%; found {text}")
    return share


def _compare_results(names: tuple[str, ...], limit: float | None, given: dict[str, Any]) -> None:
    from gi_edge.artifacts.bench_comparison import comparison_of_results
    from gi_edge.artifacts.results import read_result
    from gi_edge.report.bench_comparison_text import table_from_bench_comparison

    _check_distinct(names, [Path(name) for name in names])
    comparison = comparison_of_results([read_result(Path(name)) for name in names], names, limit)
    _deliver(comparison, table_from_bench_comparison(comparison), given)
    if limit is not None:
        _raise_for_regressions(comparison, limit)


def _raise_for_regressions(comparison: BenchComparison, limit: float) -> None:
    from gi_edge.cli.console import ConsoleProgress
    from gi_edge.errors import GateError

    undecided = sum(pair.outcome == "undecided" for pair in comparison.speeds)
    if undecided:
        ConsoleProgress().say(
            f"{undecided} of {len(comparison.speeds)} scenarios could not be decided at {100 * limit:g}%: time them "
            "longer, with gi-edge bench --minimum-seconds"
        )
    found, unseen = comparison.regressions, comparison.not_compared
    if unseen and not found:
        raise GateError(
            f"could not be compared: {_first_three(unseen)}",
            fix=f"measure again what {comparison.runs[0].name} has, with the same options of gi-edge bench, or compare "
            "without --max-regression",
        )
    if found:
        also = f"; and could not be compared: {_first_three(unseen)}" if unseen else ""
        marks = [f"{run.name}: {mark}" for run in comparison.runs for mark in run.marks]
        quiet = f"measure again, since these times are to be doubted ({marks[0]}), or " if marks else ""
        raise GateError(
            f"{_first_three(found)}{also}",
            fix=f"{quiet}find the cause, or accept more: --max-regression PERCENT (which covers no worse verdict)",
        )


def _first_three(clauses: tuple[str, ...]) -> str:
    more = f"; and {len(clauses) - 3} more" if len(clauses) > 3 else ""
    return f"{'; '.join(clauses[:3])}{more}"


def _compare_adapters(adapters: tuple[str, ...], given: dict[str, Any]) -> None:
    from gi_edge.artifacts.adapter import read_adapter
    from gi_edge.artifacts.comparison import check_comparable, comparison_of
    from gi_edge.cli.console import ConsoleProgress, workspace
    from gi_edge.cli.datasets import data_folder
    from gi_edge.deps import extra
    from gi_edge.report.comparison_text import table_from_comparison

    place, progress = workspace(), ConsoleProgress()
    places = [place.adapter_path(name) for name in adapters]
    _check_distinct(adapters, places)
    compared = [read_adapter(path) for path in places]
    check_comparable(compared)
    with extra("train"):
        from gi_edge_training.evaluate import predictions_of_adapter
    base = given["weights"] or place.train_settings.get("weights")
    folders = [data_folder(place, item.manifest.dataset.name, given["data"]) for item in compared]
    answers = [
        predictions_of_adapter(item, folder, base, "test", progress)
        for item, folder in zip(compared, folders, strict=True)
    ]
    comparison = comparison_of(compared, answers)
    _deliver(comparison, table_from_comparison(comparison), given)


def _deliver(comparison: Value, table: Any, given: dict[str, Any]) -> None:  # noqa: ANN401
    """Print a comparison, as JSON or as tables, and write it where that was asked for."""
    from gi_edge.cli.console import ConsoleProgress, print_table, print_text, shown_path
    from gi_edge.config import json_from_value
    from gi_edge.files import write_atomic

    print_text(comparison.model_dump_json()) if given["as_json"] else print_table(table)
    if given["output"] is not None:
        write_atomic(given["output"], json_from_value(comparison))
        ConsoleProgress().say(f"wrote {shown_path(given['output'])}")
