"""gi-edge export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gi_edge.cli.options import engine_options, force_option, undecided_option

if TYPE_CHECKING:
    from gi_edge.workspace import Workspace
    from gi_edge_export.config import ExportJob, Int8Settings
    from gi_edge_export.engine.config import EngineSettings


@click.command()
@click.option("--adapter", help="Adapter of the workspace, or its path; all adapters unless given.")
@click.option("--fp16", is_flag=True, help="Emit a half-precision model too; fp32 is always emitted.")
@click.option("--bf16", is_flag=True, help="Emit a bfloat16 model too: fp32's range, less precise than fp16.")
@click.option("--int8", is_flag=True, help="Emit an 8-bit model too, calibrated on frames of the training part.")
@click.option(
    "--int8-target",
    type=click.Choice(["onnxruntime", "tensorrt", "both"]),
    help="What runs the 8-bit model: ONNX Runtime on a CPU unless given, TensorRT, or both, each by its own file.",
)
@click.option(
    "--calibration-frames", type=click.IntRange(min=1), metavar="N", help="Training frames; 200 unless given."
)
@click.option(
    "--calibration",
    type=click.Choice(["auto", "entropy", "percentile", "minmax"]),
    help="How frames become ranges; auto, unless given: the one nearest to fp32 on the validation frames.",
)
@click.option(
    "--input",
    type=click.Choice(["uint8", "float"]),
    help="What the model takes: uint8 pixels [N, size, size, 3], or float32 images [N, 3, size, size] already scaled.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Dataset folder, where gi-edge.toml does not say.")
@click.option("--weights", type=click.Path(path_type=Path), help="Base weights, where training took a local file.")
@click.option("--samples", type=click.IntRange(min=1), metavar="N", help="Pack N test frames into the bundle.")
@undecided_option
@click.option("--name", help="Name of the bundle; the adapter's name unless given.")
@click.option(
    "--engine",
    type=click.Choice(["none", "tensorrt", "tensorrt-rtx"]),
    help="Build an engine from every model, with this runtime; none unless given.",
)
@engine_options
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the bundles' manifests as JSON lines.")
def command(**given: Any) -> None:  # noqa: ANN401
    """Merge adapters and write bundles of checked ONNX models, into bundles/NAME.

    Every model is compared with the trained one on the held-out frames; if one does not answer alike, or the frames
    are too few to decide, no bundle is written and the exit code is 3. Packed frames let a device without the dataset
    prove parity; they are original files, under the licence of the dataset.
    """
    from gi_edge.artifacts.adapter import read_adapter
    from gi_edge.cli.console import ConsoleProgress, print_text, shown_path, workspace
    from gi_edge.deps import extra
    from gi_edge.errors import ArtifactError
    from gi_edge.files import check_writable
    from gi_edge.workspace import artifact_folders

    place = workspace()
    folders = [place.adapter_path(given["adapter"])] if given["adapter"] else artifact_folders(place.root / "adapters")
    if not folders:
        raise ArtifactError(f"no adapter in {place.root / 'adapters'}", fix="gi-edge train")
    if len(folders) > 1 and (given["name"] or given["data"]):
        raise click.UsageError(f"--name and --data fit one adapter, found {len(folders)}; add --adapter NAME")
    jobs = [_job(place, read_adapter(folder).manifest.dataset.name, folder, given) for folder in folders]
    for job in jobs:
        check_writable(job.output, force=job.force)
    progress = ConsoleProgress()
    with extra("export"):
        from gi_edge_export.run import run
    for job in jobs:
        bundle = run(job, progress)
        if given["as_json"]:
            print_text(bundle.manifest.model_dump_json())
        progress.say(f"wrote {shown_path(bundle.path)}; next: gi-edge bench {job.name}")


def _job(place: Workspace, dataset: str, adapter: Path, given: dict[str, Any]) -> ExportJob:
    from gi_edge.cli.datasets import data_folder
    from gi_edge.metrics.parity import PRECISIONS
    from gi_edge_export.config import ExportJob

    name = given["name"] or adapter.name
    named = {"input": given["input"]} if given["input"] else {}
    return ExportJob(
        adapter=adapter,
        data=data_folder(place, dataset, given["data"]),
        weights=given["weights"] or place.train_settings.get("weights"),
        precisions=("fp32", *(precision for precision in PRECISIONS[1:] if given.get(precision))),
        int8=_int8(given),
        name=name,
        output=place.output("bundle", name),
        force=given["force"],
        allow_undecided=given["allow_undecided"],
        samples=given["samples"] or 0,
        engine=_engine(given),
        triton=given["triton"],
        **named,
    )


def _int8(given: dict[str, Any]) -> Int8Settings:
    from gi_edge.artifacts.quantisation import DIALECTS
    from gi_edge_export.config import Int8Settings

    target = given["int8_target"]
    named = {
        "dialects": DIALECTS if target == "both" else (target,) if target else None,
        "frames": given["calibration_frames"],
        "method": given["calibration"],
    }
    found = {key: value for key, value in named.items() if value is not None}
    if found and not given["int8"]:
        raise click.UsageError("--int8-target, --calibration-frames and --calibration shape an 8-bit model; add --int8")
    return Int8Settings(**found)


def _engine(given: dict[str, Any]) -> EngineSettings | None:
    """Triton takes plans of TensorRT only, so with RTX the repository holds the ONNX models alone."""
    from gi_edge.cli.engine import engine_settings

    if given["engine"] in (None, "none"):
        unused = [f"--{name.replace('_', '-')}" for name in ("sm", "batch", "workspace_mb") if given[name]]
        if unused:
            verb = "shapes" if len(unused) == 1 else "shape"
            raise click.UsageError(f"{', '.join(unused)} {verb} an engine; add --engine tensorrt or tensorrt-rtx")
        return None
    return engine_settings({**given, "triton": given["triton"] and given["engine"] == "tensorrt"}, given["engine"])
