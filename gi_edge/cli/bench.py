"""gi-edge bench."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from gi_edge.cli.bench_options import bench_options
from gi_edge.cli.options import force_option, not_empty, undecided_option

if TYPE_CHECKING:
    from gi_edge.artifacts.results import BenchResult, Comparison
    from gi_edge.errors import GateError
    from gi_edge.workspace import Workspace
    from gi_edge_bench.config import BenchJob, BenchSettings

_EXPORT_AGAIN = "do not ship it; export again: {}"


@click.command()
@click.argument("bundles", nargs=-1, type=not_empty)
@undecided_option
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(["fp32", "fp16", "bf16", "int8"]),
    multiple=True,
    help="Bench these only.",
)
@bench_options
@click.option("--output", type=click.Path(path_type=Path), help="Result file, .json; reports/TIME.json unless given.")
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of the table.")
def command(**given: Any) -> None:  # noqa: ANN401
    """Prove that BUNDLES answer as the trained model did, then time them; all bundles unless named.

    Writes reports/TIME.json, and beside it a page if the report extra is installed. Without the dataset, the frames
    packed in a bundle are compared; without these, images built into gi-edge, which find a broken engine and prove
    nothing on patients' frames. Exit code 3 if a model does not answer alike, or too few frames were compared to
    decide. Needs no torch.
    """
    from gi_edge.artifacts.results import write_result
    from gi_edge.cli.console import ConsoleProgress, print_table, print_text, shown_path, workspace
    from gi_edge.cli.outputs import check_output_file
    from gi_edge.cli.report import write_page
    from gi_edge.deps import extra
    from gi_edge.errors import MissingDependencyError
    from gi_edge.report.tables import table_from_result

    place = workspace()
    progress = ConsoleProgress()
    _check_usage(given)
    if given["output"]:
        page = given["output"].with_suffix(".html")
        check_output_file(given["output"], force=given["force"], kinds=("bench-result",), beside=(page,))
    else:
        check_output_file(place.root / "reports" / "TIME.json", force=given["force"])
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
    _raise_for_verdicts(result, job, allow_undecided=given["allow_undecided"])


def _check_usage(given: dict[str, Any]) -> None:
    if given["output"] and given["output"].suffix != ".json":
        raise click.UsageError(f"--output is a .json file, the page lies beside it; found {given['output']}")
    excluding = [name for name in ("data", "probes", "speed_only") if given[name]]
    if len(excluding) > 1:
        raise click.UsageError(
            " and ".join(f"--{name.replace('_', '-')}" for name in excluding) + " exclude each other"
        )
    if given["speed_only"] and given["against"]:
        raise click.UsageError("--against compares answers, --speed-only does not; leave one out")
    if given["provider"] and given["runtime"] not in (None, "onnxruntime"):
        raise click.UsageError(f"--provider is of ONNX Runtime, not of {given['runtime']}")
    if given["cuda_graph"] and given["runtime"] != "tensorrt":
        raise click.UsageError("--cuda-graph is of TensorRT, not of TensorRT for RTX either: add --runtime tensorrt")


def _job(place: Workspace, given: dict[str, Any]) -> BenchJob:
    from gi_edge.cli.bench_target import target_of
    from gi_edge.errors import ArtifactError
    from gi_edge.workspace import artifact_folders
    from gi_edge_bench.config import BenchJob, BenchTarget

    folders = [place.bundle_path(name) for name in given["bundles"]] or artifact_folders(place.root / "bundles")
    if not folders:
        raise ArtifactError(f"no bundle in {place.root / 'bundles'}", fix="gi-edge export --adapter NAME")
    if given["data"] and len(folders) > 1:
        raise click.UsageError(f"--data fits one bundle, found {len(folders)}; name the one")
    if given["speed_only"] or given["probes"]:
        source: Literal["probes"] | None = "probes" if given["probes"] else None
        targets = tuple(BenchTarget(bundle=folder, frames=source) for folder in folders)
    else:
        targets = tuple(target_of(place, folder, given["data"]) for folder in folders)
    return BenchJob(settings=_settings(given), targets=targets)


def _settings(given: dict[str, Any]) -> BenchSettings:
    from gi_edge.config import value_from_mapping
    from gi_edge_bench.config import BenchSettings, backend_from_text

    asked = {name: given[name] for name in ("runtime", "provider", "threads") if given[name] is not None}
    settings: dict[str, Any] = {
        key: given[key] for key in BenchSettings.model_fields if given.get(key) not in (None, ())
    }
    settings["backend"] = asked | ({"cuda_graph": True} if given["cuda_graph"] else {})
    settings["with_engines"] = given["runtime"] is None and given["provider"] is None
    settings["against"] = [backend_from_text(text).model_dump() for text in given["against"]]
    return value_from_mapping(BenchSettings, settings, source="the bench options")


def _raise_for_verdicts(result: BenchResult, job: BenchJob, *, allow_undecided: bool) -> None:
    from gi_edge.artifacts.remake import export_again
    from gi_edge.errors import GateError
    from gi_edge.report.standing import named_models, standing_from_model

    folders = {id(run): target.bundle for run, target in zip(result.bundles, job.targets, strict=True)}
    for name, bundle, model in named_models(result):
        standing = standing_from_model(model)
        unlike = next((item for item in model.comparisons if not item.is_alike), None)
        is_failed_by_truth = model.parity is not None and model.parity.verdict.status == "fail"
        if unlike is not None and not is_failed_by_truth:
            raise _difference_error(f"{name} on {model.provider}", folders[id(bundle)], unlike)
        if standing.outcome == "fail":
            raise GateError(
                f"{name} does not answer as the trained model on {model.provider}: {standing.reason}",
                fix=_EXPORT_AGAIN.format(export_again(folders[id(bundle)])),
            )
        if standing.outcome == "undecided" and standing.is_measured and not allow_undecided:
            raise GateError(
                f"{name} could not be judged: {standing.reason}",
                fix="compare on more frames, or accept the open verdict: --allow-undecided",
            )


def _difference_error(name: str, folder: Path, unlike: Comparison) -> GateError:
    """Tell of answers that differ. Of two backends either may be the wrong one, so that nothing condemns the file."""
    from gi_edge.artifacts.remake import export_again
    from gi_edge.errors import GateError
    from gi_edge.report.standing import is_of_reference, named_against

    reasons = "; ".join(unlike.reasons)
    if is_of_reference(unlike):
        return GateError(
            f"{name} does not answer as {named_against(unlike)}: {reasons}",
            fix=_EXPORT_AGAIN.format(export_again(folder)),
        )
    return GateError(
        f"{name} differs from {named_against(unlike)}: {reasons}",
        fix=f"find which is wrong: gi-edge bench {folder.absolute().name} --data DIR on each, by --runtime and "
        "--provider",
    )
