"""gi-edge demo."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gi_edge.cli.options import force_option

_NAME = "demo-endoscopy"
_STEPS = (
    "init",
    "train --recipe demo",
    f"export --adapter {_NAME} --fp16 --allow-undecided",
    "bench --minimum-seconds 1 --allow-undecided",
    f"predict {_NAME} {{frames}}",
)


@click.command()
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("gi-edge-demo"), show_default=True, help="Made anew."
)
@force_option
def command(folder: Path, force: bool) -> None:
    """Walk the whole path on generated frames: init, train, export, bench, predict.

    Needs no network and no data. Each step is an ordinary command, shown before it runs.
    """
    from gi_edge.cli.console import ConsoleProgress
    from gi_edge.cli.main import cli
    from gi_edge.data.synthetic import SyntheticSpec, write_dataset
    from gi_edge.errors import ArtifactError

    data = folder / "data" / _NAME
    if folder.exists() and any(folder.iterdir()):
        if not data.is_dir():
            raise ArtifactError(f"{folder} holds other things than a demo", fix="gi-edge demo --folder NEW_FOLDER")
        if not force:
            raise ArtifactError(f"{folder} holds a demo already", fix="gi-edge demo --force, or --folder NEW_FOLDER")
        shutil.rmtree(folder)
    progress = ConsoleProgress()
    progress.say(f"generating frames that resemble endoscopy, in {data}")
    count = write_dataset(data, SyntheticSpec())
    progress.say(f"{count} frames")
    frames = " ".join(shlex.quote(str(min(path.glob("*.jpg")).relative_to(folder))) for path in sorted(data.iterdir()))
    with _inside(folder):
        for step in _STEPS:
            words = shlex.split(step.format(frames=frames))
            progress.say(f"\n$ gi-edge {shlex.join(words)}")
            cli.main(args=words, standalone_mode=False)
    progress.say(
        f"\nThe page: {folder}/reports/*.html. The frames are generated: these scores say nothing of patients. "
        "A verdict that says undecided stays so: the demo goes on by --allow-undecided, since its frames are few."
    )


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
