"""The workspace: the folder with gi-edge.toml, and where its datasets, adapters, bundles and reports are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from gi_edge.config import Value, read_toml, value_from_mapping
from gi_edge.errors import ArtifactError, ConfigError, did_you_mean

FILE_NAME = "gi-edge.toml"


class DatasetEntry(Value):
    """One [datasets.NAME] table of gi-edge.toml."""

    path: Path
    """Folder of the images; relative paths start at gi-edge.toml."""
    spec: str = "folders"
    """Name of a dataset spec, such as "folders"."""
    exclude: tuple[str, ...] = ()
    """Classes to leave out."""
    split: Path | None = None
    """CSV file of `gi-edge data split` to train and test by; relative paths start at gi-edge.toml."""


class WorkspaceFile(Value):
    """The content of gi-edge.toml."""

    datasets: dict[str, DatasetEntry] = Field(default_factory=dict)
    """Datasets by name."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Settings of `gi-edge train` that hold for every dataset here, such as backbone, weights, epochs."""


class Workspace:
    """A folder with gi-edge.toml, or, where there is none, the current folder without datasets."""

    def __init__(self, root: Path, content: WorkspaceFile | None) -> None:
        self.root = root
        self.content = content

    @classmethod
    def find(cls, start: Path) -> Workspace:
        """Return the nearest workspace at or above start; without one, start itself, empty."""
        for folder in (start, *start.parents):
            path = folder / FILE_NAME
            if path.is_file():
                data = value_from_mapping(WorkspaceFile, read_toml(path), source=str(path))
                return cls(folder, data)
        return cls(start, None)

    @property
    def is_configured(self) -> bool:
        """Whether there is a gi-edge.toml."""
        return self.content is not None

    @property
    def datasets(self) -> dict[str, DatasetEntry]:
        """Datasets by name, their paths resolved against the workspace."""
        if self.content is None:
            return {}
        return {name: self._resolved(entry) for name, entry in self.content.datasets.items()}

    def _resolved(self, entry: DatasetEntry) -> DatasetEntry:
        split = None if entry.split is None else self.root / entry.split.expanduser()
        spec = str(self.root / Path(entry.spec).expanduser()) if entry.spec.endswith(".toml") else entry.spec
        paths = {"path": self.root / entry.path.expanduser(), "split": split, "spec": spec}
        return entry.model_copy(update=paths)

    @property
    def train_settings(self) -> dict[str, Any]:
        """The [train] table, with a relative weights path resolved against the workspace."""
        settings = dict(self.content.train) if self.content else {}
        if isinstance(settings.get("weights"), str):
            settings["weights"] = self.root / Path(settings["weights"]).expanduser()
        return settings

    def dataset(self, name: str) -> DatasetEntry:
        """Return a dataset of gi-edge.toml. Raises: ConfigError with the nearest name."""
        if not self.is_configured:
            raise ConfigError(
                f"no {FILE_NAME} here or above, so the dataset '{name}' is not known",
                fix="gi-edge init --data DIR (or give --data DIR to this command)",
            )
        datasets = self.datasets
        if name not in datasets:
            raise ConfigError(
                f"no dataset '{name}' in {self.root / FILE_NAME} ({did_you_mean(name, datasets)})",
                fix=f'add [datasets.{name}] with path = "DIR" to {FILE_NAME}, or give --data DIR',
            )
        return datasets[name]

    def adapter_path(self, name_or_path: str) -> Path:
        """Return adapters/NAME of the workspace, or the path itself if it is a folder."""
        return self._artifact_path("adapter", name_or_path, "gi-edge train")

    def bundle_path(self, name_or_path: str) -> Path:
        """Return bundles/NAME of the workspace, or the path itself if it is a folder."""
        return self._artifact_path("bundle", name_or_path, "gi-edge export --adapter NAME")

    def output(self, kind: str, name: str) -> Path:
        """Return the folder of an artefact to be made, such as adapters/NAME. Raises: ConfigError for no plain name."""
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            article = "an" if kind[0] in "aeiou" else "a"
            raise ConfigError(
                f"'{name}' cannot name {article} {kind}", fix="--name NAME without slashes or a leading dot"
            )
        return self.root / f"{kind}s" / name

    def _artifact_path(self, kind: str, name_or_path: str, maker: str) -> Path:
        folder = self.root / f"{kind}s"
        for candidate in (folder / name_or_path, Path(name_or_path)):
            if candidate.is_dir():
                return candidate
        known = [path.name for path in artifact_folders(folder)]
        raise ArtifactError(
            f"no {kind} '{name_or_path}' in {folder} and no such folder ({did_you_mean(name_or_path, known)})",
            fix=f"make it with {maker}, or give its path",
        )


def artifact_folders(folder: Path) -> list[Path]:
    """Return the finished artefact folders directly under a folder, by name; hidden ones are unfinished."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
