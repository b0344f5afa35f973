"""gi-edge train."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gi_edge.cli.options import F, data_options, force_option
from gi_edge.errors import GiEdgeError
from gi_edge.launcher import is_first, is_first_of_machine, wait_for_teller

if TYPE_CHECKING:
    from gi_edge.artifacts.adapter import Adapter
    from gi_edge.progress import Progress
    from gi_edge.workspace import DatasetEntry, Workspace
    from gi_edge_training.config import TrainJob

_SETTINGS = (
    click.option("--method", type=click.Choice(["lora", "full", "probe"]), help="What trains beside the classifier."),
    click.option("--backbone", help="timm tag or architecture, or gi-edge-small (embedded)."),
    click.option("--weights", type=click.Path(path_type=Path), help="Local weights file of the backbone."),
    click.option("--weights-licence", help="Licence of that file, where it does not record it."),
    click.option("--image-size", "image_size_px", type=int, help="Input height and width in px, a multiple of 32."),
    click.option("--fit", type=click.Choice(["pad", "stretch", "crop"]), help="How a frame becomes a square."),
    click.option("--epochs", type=int, help="Passes over the training part."),
    click.option("--batch-size", type=int, help="Frames per step."),
    click.option("--learning-rate", type=float, help="Peak of the warm-up and cosine schedule."),
    click.option("--weight-decay", type=float, help="AdamW weight decay."),
    click.option("--warmup-fraction", type=float, help="Share of the steps that warm up."),
    click.option(
        "--balance",
        type=click.Choice(["none", "sampler", "weights", "logit-adjustment"]),
        help="For rare classes: draw classes equally often, weight their loss, or adjust their logits.",
    ),
    click.option("--label-smoothing", type=float, help="Share of the target spread over the other classes."),
    click.option("--patience", type=int, help="Stop after so many epochs without a better validation macro-F1."),
    click.option(
        "--mixed-precision",
        type=click.Choice(["auto", "no", "bf16", "fp16"]),
        help="Of the forward pass in training; auto: bf16 where the processor computes in it.",
    ),
    click.option("--compile/--no-compile", default=None, help="Compile the training's forward pass by torch.compile."),
    click.option("--accumulate", type=int, help="Batches per step of the optimiser."),
    click.option("--clip-norm", type=float, help="Largest norm of the gradient."),
    click.option("--rank", type=int, help="Rank of the LoRA matrices."),
    click.option("--alpha", type=float, help="LoRA is scaled by alpha / rank."),
    click.option("--dropout", type=float, help="Dropout on the input of the LoRA matrices."),
    click.option("--rslora/--no-rslora", default=None, help="Scale LoRA by alpha / sqrt(rank)."),
    click.option("--dora/--no-dora", default=None, help="Train magnitudes of output channels apart (DoRA)."),
    click.option("--stage-ranks", type=int, nargs=4, help="Four ranks, one per stage, instead of --rank; 0: no LoRA."),
    click.option("--targets", metavar="REGEX", help="Layers that get LoRA; fc1 and fc2 of every block unless given."),
    click.option("--drop-path", type=float, help="Largest rate of stochastic depth."),
    click.option(
        "--split-by",
        type=click.Choice(["auto", "group", "cluster", "frame"]),
        help="What the split keeps together; auto: video or patient where known, else near-duplicates.",
    ),
    click.option("--holdout-fraction", type=float, help="Share of the validation and of the test part, each."),
    click.option("--seed", type=int, help="Of split, fresh weights, order of frames and augmentation."),
)


def _settings_options(function: F) -> F:
    for option in reversed(_SETTINGS):
        function = option(function)
    return function


def _list_recipes(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    from gi_edge_training.recipes import recipe_names, recipe_text

    click.echo("\n".join(f"{name}: {recipe_text(name)}" for name in recipe_names()))
    context.exit()


@click.command()
@data_options
@click.option("--name", help="Name of the adapter; the dataset's name unless given.")
@click.option(
    "--recipe",
    help="Recipe of the package (demo, full, lora-base, lora-tiny, probe) or a .toml file; flags override it.",
)
@click.option(
    "--list-recipes",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_recipes,
    help="Print them and end.",
)
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting, as in a recipe; may be repeated."
)
@click.option("--split", type=click.Path(path_type=Path), help="Split of gi-edge data split, instead of a new one.")
@_settings_options
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--tracker",
    type=click.Choice(["tensorboard", "mlflow", "wandb", "none"]),
    help="Who keeps the log of the run in runs/NAME; mlflow and wandb must be installed.  [default: tensorboard]",
)
@force_option
@click.option("--resume", is_flag=True, help="Go on with the unfinished run of the same adapter and settings.")
@click.option("--json", "as_json", is_flag=True, help="Print the adapters' manifests as JSON lines.")
def command(**given: Any) -> None:  # noqa: ANN401
    """Fit a classifier of endoscopy frames by LoRA, in full or by its last layer; one per dataset, into adapters/NAME.

    Without options every dataset of gi-edge.toml is trained. With --data DIR no gi-edge.toml is needed. Settings
    come from flags, else from --set, else from [train] in gi-edge.toml, else from the recipe, else from the defaults.
    """
    from gi_edge.artifacts.evaluation import result_from_evaluation
    from gi_edge.cli.console import ConsoleProgress, print_table, print_text, shown_path, workspace
    from gi_edge.cli.datasets import chosen_datasets
    from gi_edge.deps import extra
    from gi_edge.files import check_writable
    from gi_edge.progress import Silent
    from gi_edge.report.evaluation_text import table_from_evaluation

    place = workspace()
    progress: Progress = ConsoleProgress() if is_first() else Silent()
    chosen = chosen_datasets(place, **{key: given[key] for key in ("dataset", "data", "spec", "exclude")})
    if given["name"] and len(chosen) > 1:
        raise click.UsageError(f"--name fits one dataset, but {len(chosen)} are to be trained; add --dataset NAME")
    if given["split"] and len(chosen) > 1:
        raise click.UsageError(f"--split fits one dataset, but {len(chosen)} are to be trained; add --dataset NAME")
    with _told_once():
        jobs = [_job(place, name, entry, given, progress) for name, entry in chosen.items()]
    if is_first():
        for job in jobs:
            check_writable(job.output, force=job.force)
    with extra("train"):
        from gi_edge_training.run import run
    for job in jobs:
        adapter = run(job, progress, partial(_tell_log, job, progress))
        if adapter is None:  # not the main process of a run of several
            continue
        manifest = adapter.manifest
        if given["as_json"]:
            print_text(manifest.model_dump_json())
        else:
            print_table(table_from_evaluation(result_from_evaluation(manifest, adapter.split, manifest.evaluation)))
        progress.say(f"wrote {shown_path(adapter.path)}; next: {_next_command(place, job, adapter)}")


def _tell_log(job: TrainJob, progress: Progress) -> None:
    from gi_edge.cli.console import shown_path

    if job.log is not None and job.tracker == "tensorboard":
        progress.say(f"log of {job.name}: tensorboard --logdir {shlex.quote(shown_path(job.log.parent))}")
    elif job.log is not None and job.tracker != "none":
        progress.say(f"log of {job.name}: {job.tracker}, in {shown_path(job.log)}")


def _next_command(place: Workspace, job: TrainJob, adapter: Adapter) -> str:
    """Return the export of an adapter, with the folder and the weights file that gi-edge.toml does not name."""
    words = ["gi-edge", "export", "--adapter", job.name]
    known = place.datasets.get(job.dataset)
    if known is None or known.path.resolve() != job.data.resolve():
        words += ["--data", str(job.data)]
    needs_weights = adapter.manifest.backbone.weights.startswith("file:") and job.settings.method != "full"
    if needs_weights and job.weights != place.train_settings.get("weights"):
        words += ["--weights", str(job.weights)]
    return shlex.join([*words, "--fp16"])


@contextmanager
def _told_once() -> Iterator[None]:
    """Where a launcher started several processes, let the first of each machine tell what all of them find wrong."""
    try:
        yield
    except GiEdgeError as error:
        if is_first_of_machine():
            raise
        wait_for_teller()
        raise SystemExit(error.exit_code) from None


def _job(place: Workspace, name: str, entry: DatasetEntry, given: dict[str, Any], progress: Progress) -> TrainJob:
    from gi_edge.config import value_from_mapping
    from gi_edge_training.config import TrainJob, TrainSettings
    from gi_edge_training.recipes import Asked, resolve

    workspace = place.train_settings
    recipe = workspace.pop("recipe", None)
    split = given["split"] or entry.split
    asked = Asked(
        recipe=given["recipe"] or recipe,
        spec=entry.spec,
        classes_given=bool(split or entry.exclude),
        workspace=workspace,
        assignments=given["assignments"],
        flags={
            key: given[key] for key in ("weights", "tracker", *TrainSettings.model_fields) if given.get(key) is not None
        },
    )
    resolved = resolve(asked)
    for note in resolved.notes:
        progress.say(f"{name}: {note}")
    adapter_name = given["name"] or name
    job = {
        "settings": resolved.settings,
        "recipe": asked.recipe and Path(asked.recipe).name,
        "dataset": name,
        "name": adapter_name,
        "data": entry.path,
        "spec": entry.spec,
        "exclude": entry.exclude or resolved.exclude,
        "split": split,
        "output": place.output("adapter", adapter_name),
        "force": given["force"],
        "resume": given["resume"],
        "device": given["device"],
        "log": place.root / "runs" / adapter_name,
        **resolved.beside,
    }
    return value_from_mapping(TrainJob, job, source="the training settings", origins=resolved.origins)
