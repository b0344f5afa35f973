"""gi-edge predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gi_edge.cli.options import finite, not_empty, path_not_empty

if TYPE_CHECKING:
    from gi_edge.runtime.session import Backend

_OPTIONS = (
    click.option(
        "--format", "form", type=click.Choice(["text", "csv", "json"]), help="By the name of --output, else text."
    ),
    click.option("--json", "as_json", is_flag=True, help="The same as --format json: one object a line."),
    click.option("--output", type=click.Path(path_type=Path), help="Write the lines to a file, whole or not at all."),
    click.option("--annotate", type=click.Path(path_type=Path), metavar="DIR", help="Write copies with their answers."),
    click.option("--force", is_flag=True, help="Replace what --output and --annotate find there."),
    click.option("--every", type=click.IntRange(min=1), help="Of a video, look at every nth frame."),
    click.option(
        "--fps",
        type=click.FloatRange(min=0, min_open=True),
        callback=finite,
        help="Of a video, so many frames a second.",
    ),
    click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16", "int8"]), default="fp32", show_default=True),
    click.option(
        "--runtime",
        type=click.Choice(["onnxruntime", "tensorrt", "tensorrt-rtx"]),
        default="onnxruntime",
        show_default=True,
    ),
    click.option(
        "--provider",
        type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]),
        default="auto",
        show_default=True,
        help="Of ONNX Runtime; auto: CUDA where the driver sees a device, else the CPU.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        help="Images computed together: 1 on a CPU, else 8, or what the engine takes.",
    ),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a batch: 1 for many images, else all."),
)


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command()
@click.argument("bundle", type=not_empty)
@click.argument("sources", nargs=-1, required=True, type=path_not_empty)
@_options
def command(**given: Any) -> None:  # noqa: ANN401
    """Classify SOURCES, image files, videos or folders of them, with BUNDLE.

    A line has class, probability and file, and for a video the number of the frame and its time in seconds. What cannot
    be read is named on stderr and never guessed; the exit code is then 1. Needs no torch.
    """
    from gi_edge.cli.console import ConsoleProgress, workspace
    from gi_edge.cli.outputs import check_output_file
    from gi_edge.cli.predict_sources import check_copies, check_output, distinct, sources_from_arguments
    from gi_edge.deps import extra

    _check_choices(given)
    folder = workspace().bundle_path(given["bundle"])
    sources, again = distinct(sources_from_arguments(given["sources"]))
    if given["output"]:
        check_output(sources, given["output"])
        check_output_file(given["output"], force=given["force"])
    if given["annotate"]:
        check_copies(sources, given["annotate"], force=given["force"])
    if any(source.is_video for source in sources):
        with extra("video"):
            import av  # noqa: F401
    with extra("cuda"):
        from gi_edge.cli.predict_lines import form_from_name
        from gi_edge.cli.predict_run import Job, run
        from gi_edge.runtime.classifier import Classifier
        from gi_edge.runtime.sampling import Sampling
    backend, usual = _plan(given, is_one_image=len(sources) == 1 and not sources[0].is_video)
    progress = ConsoleProgress()
    if again:
        more = f" and {len(again) - 1} more" if again[1:] else ""
        progress.say(f"named again and answered once: {again[0]}{more}")
    classifier = Classifier.from_bundle(folder, given["precision"], backend)
    job = Job(
        classifier,
        sources,
        Sampling(every=given["every"] or 1, rate=given["fps"]),
        given["batch_size"] or classifier.usual_batch(usual),
        "json" if given["as_json"] else given["form"] or form_from_name(given["output"]),
        given["output"],
        given["annotate"],
    )
    run(job, progress)


def _check_choices(given: dict[str, Any]) -> None:
    from gi_edge.errors import ConfigError

    if given["every"] and given["fps"]:
        raise ConfigError("--every and --fps both say which frames to look at", fix="leave one of them out")
    if given["as_json"] and given["form"] not in (None, "json"):
        raise ConfigError(f"--json and --format {given['form']} exclude each other", fix="leave one of them out")


def _plan(given: dict[str, Any], *, is_one_image: bool) -> tuple[Backend, int]:
    """Return what computes, and the usual batch size: on a CPU with many images, each core takes one by itself."""
    from gi_edge.runtime.device import has_cuda_device
    from gi_edge.runtime.session import Backend

    by_cpu = given["provider"] == "cpu" or (given["provider"] == "auto" and not has_cuda_device())
    on_cpu = given["runtime"] == "onnxruntime" and by_cpu
    threads = given["threads"] or (1 if on_cpu and not is_one_image else None)
    backend = Backend(runtime=given["runtime"], provider=given["provider"], threads=threads)
    return backend, 1 if on_cpu else 8
