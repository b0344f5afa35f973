"""Options that several verbs share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_DATA = (
    click.option("--dataset", help="Name of a dataset of gi-edge.toml."),
    click.option("--data", type=click.Path(path_type=Path), help="Folder of images, in the layout of the spec."),
    click.option("--spec", help="Dataset spec: folders, csv, kvasir-capsule, …, or a .toml file."),
    click.option("--exclude", multiple=True, metavar="CLASS", help="Class to leave out; may be repeated."),
)


def not_empty(given: str) -> str:
    """Return a name as it was given. Raises: click.BadParameter for none, as of an unset variable."""
    if given == "":  # which would be the current folder
        raise click.BadParameter("an empty argument would mean the current folder; leave it out, or give . for that")
    return given


def path_not_empty(given: str) -> Path:
    """As not_empty, for a path."""
    return Path(not_empty(given))


def finite(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    """Return a number as it is. Raises: BadParameter for nan and inf, which pass the ranges of click."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.")
    return value


def data_options(function: F) -> F:
    """Add --dataset, --data, --spec and --exclude."""
    for option in reversed(_DATA):
        function = option(function)
    return function


def force_option(function: F) -> F:
    """Add --force."""
    return click.option("--force", is_flag=True, help="Replace an existing output.")(function)


def undecided_option(function: F) -> F:
    """Add --allow-undecided."""
    return click.option(
        "--allow-undecided",
        is_flag=True,
        help="Go on where the held-out frames are too few to decide; the verdict stays undecided and is shown.",
    )(function)


def provider_option(function: F) -> F:
    """Add --provider."""
    return click.option(
        "--provider",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="auto: CUDA where the driver sees a device, else the CPU.",
    )(function)


_ENGINE = (
    click.option(
        "--sm", metavar="LIST", help="Build for these architectures, such as 86,89,120, without a GPU; RTX only."
    ),
    click.option("--batch", metavar="MIN:OPT:MAX", help="Batch sizes that the engine takes; 1:8:32 unless given."),
    click.option("--workspace-mb", type=int, help="Limit of scratch memory in MiB; all of the device unless given."),
    click.option("--triton", is_flag=True, help="Write a model repository for Triton too."),
)


def engine_options(function: F) -> F:
    """Add --sm, --batch, --workspace-mb and --triton."""
    for option in reversed(_ENGINE):
        function = option(function)
    return function
