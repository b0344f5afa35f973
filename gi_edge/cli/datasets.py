"""Which datasets a verb is to work on: from the options, or from gi-edge.toml."""

from __future__ import annotations

from pathlib import Path

from gi_edge.errors import ConfigError
from gi_edge.workspace import FILE_NAME, DatasetEntry, Workspace


def chosen_datasets(
    place: Workspace, *, dataset: str | None, data: Path | None, spec: str | None, exclude: tuple[str, ...]
) -> dict[str, DatasetEntry]:
    """Return datasets by name: the folder given, the one named, or all of the workspace.

    Raises: ConfigError if none is given and there is no workspace, or the name is not in it.
    """
    if data is not None:
        return {dataset or data.resolve().name: DatasetEntry(path=data, spec=spec or "folders", exclude=exclude)}
    if dataset is not None:
        found = {dataset: place.dataset(dataset)}
    elif place.is_configured:
        found = place.datasets
    else:
        raise ConfigError(f"no {FILE_NAME} here or above, and no --data", fix="gi-edge init --data DIR")
    if not found:
        raise ConfigError(
            f"{place.root / FILE_NAME} lists no dataset",
            fix=f'add [datasets.NAME] with path = "DIR" to {FILE_NAME}',
        )
    changed: dict[str, object] = {"spec": spec} if spec else {}
    changed |= {"exclude": exclude} if exclude else {}
    return {name: entry.model_copy(update=changed) for name, entry in found.items()}


def data_folder(place: Workspace, dataset: str, data: Path | None) -> Path:
    """Return --data, or the folder that gi-edge.toml gives for a dataset's name."""
    return data if data is not None else place.dataset(dataset).path
