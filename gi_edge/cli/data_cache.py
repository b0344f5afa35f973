"""gi-edge data cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from gi_edge.data.frame_cache import StoredFrames


@click.command()
@click.option("--clear", is_flag=True, help="Remove all cached frames; the next run decodes again.")
@click.option("--json", "as_json", is_flag=True, help="Print the stores as JSON lines.")
def command(*, clear: bool, as_json: bool) -> None:
    """Show the decoded frames that training and evaluation keep between runs, or remove them.

    The cache lies in GI_EDGE_CACHE, else in the user's cache folder; GI_EDGE_CACHE=off turns it off.
    """
    from gi_edge.cli.console import ConsoleProgress, print_text
    from gi_edge.data.frame_cache import cache_folder, stored_frames

    folder, progress = cache_folder(), ConsoleProgress()
    if folder is None:
        progress.say("the frame cache is off; GI_EDGE_CACHE=FOLDER turns it on")
        return
    if clear:
        freed, busy = _cleared(folder)
        for kept in busy:
            progress.say(f"kept {kept}: a process is filling it")
        progress.say(f"removed {freed / 1e9:.2f} GB of cached frames from {folder}")
        return
    stores = stored_frames(folder)
    for store in stores:
        print_text(_json(store) if as_json else _line(store))
    total = sum(store.size_bytes for store in stores)
    progress.say(f"{folder}: {total / 1e9:.2f} GB; gi-edge data cache --clear removes it")


def _cleared(folder: Path) -> tuple[int, tuple[Path, ...]]:
    from gi_edge.data.frame_cache import clear_cache
    from gi_edge.errors import ArtifactError

    try:
        return clear_cache(folder)
    except OSError as error:
        raise ArtifactError(
            f"cannot clear {folder}: {error.strerror}", fix=f"remove {folder / 'frames'} as its owner"
        ) from error


def _line(store: StoredFrames) -> str:
    use = "" if store.is_current else "; of another decoder, not read by this installation"
    return f"{store.title}: {store.frames:,} frames, {store.size_bytes / 1e9:.2f} GB{use}"


def _json(store: StoredFrames) -> str:
    import json

    return json.dumps(
        {
            "folder": str(store.folder),
            "title": store.title,
            "frames": store.frames,
            "size_bytes": store.size_bytes,
            "is_current": store.is_current,
        }
    )
