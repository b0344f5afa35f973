"""gi-edge evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gi_edge.cli.options import force_option, provider_option

if TYPE_CHECKING:
    from gi_edge.artifacts.evaluation import EvaluationResult, Predictions
    from gi_edge.artifacts.manifest import Manifest
    from gi_edge.data.split import Split
    from gi_edge.progress import Progress
    from gi_edge.workspace import Workspace


@click.command()
@click.option("--adapter", help="Adapter to evaluate, by name or folder; needs torch.")
@click.option("--bundle", help="Bundle to evaluate, by name or folder; needs no torch.")
@click.option("--part", type=click.Choice(["test", "val"]), default="test", show_default=True, help="Of the split.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "bf16", "int8"]),
    default="fp32",
    show_default=True,
    help="Of a bundle.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder, where gi-edge.toml does not say.")
@click.option("--weights", type=click.Path(path_type=Path), help="Base weights file, where gi-edge.toml does not say.")
@provider_option
@click.option("--output", type=click.Path(path_type=Path), help="Folder; reports/evaluate-NAME-PART unless given.")
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the evaluation as JSON instead of the tables.")
def command(**given: Any) -> None:  # noqa: ANN401
    """Score an adapter or a bundle on held-out frames, every number with its interval and beside both baselines.

    Writes a folder: evaluation.json, predictions.csv (one line per frame) and, with the report extra, a page and
    pictures: confusion matrix, reliability diagram, classes with intervals, the worst mistakes.
    """
    from gi_edge.artifacts.evaluation import csv_from_predictions, evaluation_on_split, result_from_evaluation
    from gi_edge.cli.console import ConsoleProgress, print_table, print_text, shown_path, workspace
    from gi_edge.config import json_from_value
    from gi_edge.files import atomic_folder, check_writable
    from gi_edge.report.evaluation_text import table_from_evaluation

    if bool(given["adapter"]) == bool(given["bundle"]):
        raise click.UsageError("give --adapter NAME or --bundle NAME, one of them")
    if given["bundle"] and given["part"] != "test":
        raise click.UsageError("a bundle carries the test part only; evaluate the adapter for --part val")
    place, progress = workspace(), ConsoleProgress()
    name = Path(given["adapter"] or given["bundle"]).name
    label = name if given["adapter"] else f"{name}-{given['precision']}"
    output = given["output"] or place.root / "reports" / f"evaluate-{label}-{given['part']}"
    check_writable(output, force=given["force"], other="--output FOLDER")
    manifest, split, predictions = (_of_adapter if given["adapter"] else _of_bundle)(place, given, progress)
    evaluation = evaluation_on_split(
        split, manifest.dataset.rules(), given["part"], predictions, manifest.classes, manifest.name
    )
    result = result_from_evaluation(manifest, split, evaluation, predictions)
    with atomic_folder(output, force=given["force"]) as folder:
        (folder / "evaluation.json").write_text(json_from_value(result), encoding="utf-8")
        (folder / "predictions.csv").write_text(csv_from_predictions(predictions, manifest.classes), encoding="utf-8")
        _write_pictures(folder, result, predictions, progress)
    print_text(result.model_dump_json()) if given["as_json"] else print_table(table_from_evaluation(result))
    progress.say(f"wrote {shown_path(output)}")


def _of_adapter(place: Workspace, given: dict[str, Any], progress: Progress) -> tuple[Manifest, Split, Predictions]:
    from gi_edge.artifacts.adapter import read_adapter
    from gi_edge.cli.datasets import data_folder
    from gi_edge.deps import extra

    adapter = read_adapter(place.adapter_path(given["adapter"]))
    data = data_folder(place, adapter.manifest.dataset.name, given["data"])
    weights = given["weights"] or place.train_settings.get("weights")
    with extra("train"):
        from gi_edge_training.evaluate import predictions_of_adapter
    predictions = predictions_of_adapter(adapter, data, weights, given["part"], progress)
    return adapter.manifest, adapter.split, predictions


def _of_bundle(place: Workspace, given: dict[str, Any], progress: Progress) -> tuple[Manifest, Split, Predictions]:
    from gi_edge.artifacts.bundle import read_bundle
    from gi_edge.cli.bench_target import target_of
    from gi_edge.deps import extra
    from gi_edge.runtime.session import Backend

    folder = place.bundle_path(given["bundle"])
    bundle = read_bundle(folder)
    target = target_of(place, folder, given["data"], labelled=True)
    with extra("cuda"):
        from gi_edge_bench.evaluate import predictions_of_bundle
    backend = Backend(provider=given["provider"])
    predictions = predictions_of_bundle(bundle, given["precision"], target, backend, progress)
    return bundle.manifest, bundle.split(), predictions


def _write_pictures(folder: Path, result: EvaluationResult, predictions: Predictions, progress: Progress) -> None:
    from gi_edge.deps import extra
    from gi_edge.errors import MissingDependencyError

    try:
        with extra("report"):
            from gi_edge.report.evaluation_page import page_from_evaluation
            from gi_edge.report.evaluation_plots import class_plot, reliability_plot, standalone_svg
            from gi_edge.report.mistakes import mistakes_sheet
            from gi_edge.report.plots import confusion_plot
    except MissingDependencyError as error:
        progress.say(f"no page and no pictures: {error.message}. Then: {error.fix}")
        return
    evaluation = result.evaluation
    pictures = {
        "confusion": confusion_plot(evaluation.confusion, evaluation.classes, name="confusion"),
        "reliability": reliability_plot(evaluation, name="reliability"),
        "classes": class_plot(evaluation, name="classes"),
    }
    for name, svg in pictures.items():
        (folder / f"{name}.svg").write_text(standalone_svg(svg), encoding="utf-8")
    sheet = mistakes_sheet(predictions, evaluation.classes)
    if sheet is not None:
        sheet.save(folder / "mistakes.jpg", quality=90)
    (folder / "page.html").write_text(page_from_evaluation(result, sheet=sheet), encoding="utf-8")
