"""gi-edge bench."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gi_edge.cli.options import force_option, provider_option, undecided_option

if TYPE_CHECKING:
    from gi_edge.artifacts.results import BenchResult
    from gi_edge.workspace import Workspace
    from gi_edge_bench.config import BenchJob, BenchTarget


@click.command()
@click.argument("bundles", nargs=-1)
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder, where gi-edge.toml does not say.")
@click.option("--speed-only", is_flag=True, help="Leave parity out: no dataset is needed, nothing is proved.")
@undecided_option
@provider_option
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(["fp32", "fp16", "bf16", "int8"]),
    multiple=True,
    help="Bench these only.",
)
@click.option("--batch-size", "batch_sizes", type=int, multiple=True, help="Batch to time; may be repeated.")
@click.option("--warmup-seconds", type=float, help="Untimed runs before each scenario.")
@click.option("--minimum-seconds", type=float, help="A timed scenario lasts at least so long.")
@click.option("--minimum-count", type=int, help="A timed scenario has at least so many batches.")
@click.option("--threads", type=int, help="CPU threads of the runtime.")
@click.option("--output", type=click.Path(path_type=Path), help="Result file, .json; reports/TIME.json unless given.")
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of the table.")
def command(**given: Any) -> None:  # noqa: ANN401
    """Prove that BUNDLES answer as the trained model did, then time them; all bundles unless named.

    Writes reports/TIME.json, and beside it a page if the report extra is installed. Without the dataset, the frames
    packed in a bundle are compared. Exit code 3 if a model does not answer alike, or too few frames were compared to
    decide. Needs no torch.
    """
    from gi_edge.artifacts.results import write_result
    from gi_edge.cli.console import ConsoleProgress, print_table, print_text, shown_path, workspace
    from gi_edge.cli.report import write_page
    from gi_edge.deps import extra
    from gi_edge.errors import MissingDependencyError
    from gi_edge.files import check_writable
    from gi_edge.report.tables import table_from_result

    place = workspace()
    progress = ConsoleProgress()
    if given["output"] and given["output"].suffix != ".json":
        raise click.UsageError(f"--output is a .json file, the page lies beside it; found {given['output']}")
    if given["output"]:
        check_writable(given["output"], force=given["force"], other="--output FILE.json")
    job = _job(place, given)
    with extra("cuda"):
        from gi_edge_bench.run import run
    result = run(job, progress)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    output = given["output"] or place.root / "reports" / f"{stamp}.json"
    write_result(output, result)
    print_text(result.model_dump_json()) if given["as_json"] else print_table(table_from_result(result))
    progress.say(f"wrote {shown_path(output)}")
    try:
        progress.say(f"wrote {shown_path(write_page(output, result))}")
    except MissingDependencyError as error:
        progress.say(f"no page: {error.message}. Then: {error.fix} && gi-edge report {shown_path(output)}")
    _raise_for_verdicts(result, allow_undecided=given["allow_undecided"])


def _job(place: Workspace, given: dict[str, Any]) -> BenchJob:
    from gi_edge.config import value_from_mapping
    from gi_edge.errors import ArtifactError
    from gi_edge.workspace import artifact_folders
    from gi_edge_bench.config import BenchJob, BenchSettings, BenchTarget

    folders = [place.bundle_path(name) for name in given["bundles"]] or artifact_folders(place.root / "bundles")
    if not folders:
        raise ArtifactError(f"no bundle in {place.root / 'bundles'}", fix="gi-edge export --adapter NAME")
    if given["data"] and len(folders) > 1:
        raise click.UsageError(f"--data fits one bundle, found {len(folders)}; name the one")
    settings = {key: given[key] for key in BenchSettings.model_fields if given.get(key) not in (None, ())}
    return BenchJob(
        settings=value_from_mapping(BenchSettings, settings, source="the bench options"),
        targets=tuple(
            BenchTarget(bundle=folder, data=None) if given["speed_only"] else _target(place, folder, given["data"])
            for folder in folders
        ),
    )


def _target(place: Workspace, folder: Path, data: Path | None) -> BenchTarget:
    """Take the dataset where it is given or the workspace has it, else the frames packed in the bundle."""
    from gi_edge.artifacts.bundle import read_bundle
    from gi_edge.cli.datasets import data_folder
    from gi_edge_bench.config import BenchTarget

    manifest = read_bundle(folder).manifest
    name = manifest.dataset.name
    is_here = data is not None or (name in place.datasets and place.datasets[name].path.is_dir())
    if manifest.samples and not is_here:
        return BenchTarget(bundle=folder, data=None, samples=True)
    return BenchTarget(bundle=folder, data=data_folder(place, name, data))


def _raise_for_verdicts(result: BenchResult, *, allow_undecided: bool) -> None:
    from gi_edge.errors import GateError
    from gi_edge.report.standing import named_models, standing_from_model

    for name, bundle, model in named_models(result):
        standing = standing_from_model(model)
        if standing.outcome == "fail":
            raise GateError(
                f"{name} does not answer as the trained model on {model.provider}: {standing.reason}",
                fix=f"do not ship it; export again: gi-edge export --adapter {bundle.name} --force",
            )
        if standing.outcome == "undecided" and standing.is_measured and not allow_undecided:
            raise GateError(
                f"{name} could not be judged: {standing.reason}",
                fix="compare on more frames, or accept the open verdict: --allow-undecided",
            )
