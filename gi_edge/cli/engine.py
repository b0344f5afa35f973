"""gi-edge engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gi_edge.cli.options import engine_options, force_option, not_empty

if TYPE_CHECKING:
    from gi_edge_export.engine.config import EngineSettings


@click.command()
@click.argument("bundle", type=not_empty)
@click.option("--precision", "precisions", multiple=True, help="Model to build; may be repeated; all unless given.")
@click.option(
    "--runtime",
    type=click.Choice(["auto", "tensorrt", "tensorrt-rtx"]),
    help="auto, unless given: TensorRT for RTX where --sm names targets; else what is installed, TensorRT first.",
)
@engine_options
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the engines' sidecars as JSON lines.")
def command(**given: Any) -> None:  # noqa: ANN401
    """Build TensorRT engines from the models of BUNDLE, into its engines folder.

    Run it on the device, or with --sm for RTX GPUs elsewhere. The types of every matrix layer are read back: an
    engine in another precision than asked for is not written, and the exit code is 3. Needs no torch.
    """
    from gi_edge.artifacts.bundle import read_bundle
    from gi_edge.cli.console import ConsoleProgress, print_text, shown_path, workspace
    from gi_edge_export.engine.config import EngineJob
    from gi_edge_export.engine.run import build_engine, check_settings

    settings = engine_settings(given, given["runtime"])
    folder = workspace().bundle_path(given["bundle"])
    check_settings(settings)
    bundle = read_bundle(folder)
    entries = [bundle.model(name, "tensorrt") for name in given["precisions"]] or bundle.models("tensorrt")
    progress = ConsoleProgress()
    for model in entries:
        job = EngineJob(bundle=folder, precision=model.precision, settings=settings, force=given["force"])
        entry = build_engine(job, progress)
        if given["as_json"]:
            print_text(entry.model_dump_json())
    progress.say(f"wrote {shown_path(folder / 'engines')}; check at any time: gi-edge verify {given['bundle']}")


def engine_settings(given: dict[str, Any], runtime: str | None) -> EngineSettings:
    """Return the settings that the options give. Raises: ConfigError."""
    from gi_edge.artifacts.engine import batch_range_from_text
    from gi_edge.config import value_from_mapping
    from gi_edge_export.engine.config import EngineSettings

    found = {
        "runtime": runtime,
        "sms": _sms(given["sm"]) if given["sm"] else None,
        "batch": batch_range_from_text(given["batch"]) if given["batch"] else None,
        "workspace_mb": given["workspace_mb"],
        "triton": given.get("triton") or None,
    }
    kept = {key: value for key, value in found.items() if value is not None}
    return value_from_mapping(EngineSettings, kept, source="the engine options")


def _sms(text: str) -> tuple[int, ...]:
    from gi_edge.errors import ConfigError

    parts = [part.strip().lower().removeprefix("sm").replace(".", "") for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise ConfigError(f"'{text}' is no list of SMs", fix="--sm 86,89,120, as in compute capability 8.6, 8.9, 12.0")
    return tuple(map(int, parts))
