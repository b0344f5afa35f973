"""Dataset specs: what is known of a dataset besides its files. One TOML file each in specs/, or one of the user's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gi_edge.config import Value, read_toml, value_from_mapping
from gi_edge.data.classnames import class_table
from gi_edge.errors import ConfigError, did_you_mean

Layout = Literal["class-folders", "nested-class-folders", "csv"]
DeliveredPart = Literal["train", "val", "test"]


class OfficialSplit(Value):
    """The split files that the authors of a dataset publish."""

    kind: Literal["parts", "folds"]
    files: dict[str, str]
    """Part (train, val, test) or fold to the file's name as delivered; the same file throughout with a fold_column."""
    file_column: str
    label_column: str
    fold_column: str = ""
    """Column with the part or fold of a row; "": each file is one."""
    delimiter: str = ","
    source: str
    """Where the files are, or who describes them."""


class CsvColumns(Value):
    """Headers of a label file. "": the first header that is a usual one, see gi_edge.data.table."""

    file: str = ""
    label: str = ""
    group: str = ""
    part: str = ""


class DatasetSpec(Value):
    """Layout, classes, groups and licence of a dataset."""

    name: str
    title: str
    licence: str
    layout: Layout = "class-folders"
    """class-folders: one folder per class in the root. nested-class-folders: the class is the nearest folder above an
    image that is one. csv: a label file beside the images."""
    classes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Class to its other spellings; case, apostrophes and the kind of separator make no difference. Empty: any name
    is a class."""
    skip_folders: tuple[str, ...] = ()
    """Folders at any depth that hold no labelled images, or images that lie elsewhere too."""
    group_from: Literal["file-name", "folder"] = "file-name"
    group_pattern: str | None = None
    """Regular expression on the file name, or on the path below the root with group_from = "folder"; its part "group"
    is the video or patient, its part "number", where there is one, the frame's number in it. None: no group is
    known."""
    group_optional: bool = False
    """Whether some files follow no group_pattern and have no group."""
    group_noun: str = "group"
    """What a group is: video, patient."""
    names_repeat: bool = False
    """Whether different images of two classes can have one file name."""
    part_folders: dict[str, DeliveredPart] = Field(default_factory=dict)
    """Folder to the part that it is delivered as."""
    csv_file: str = ""
    """Name of the label file, at any depth; "": the only *.csv in the root."""
    csv_delimiter: str = ""
    """"": found from the header."""
    csv_columns: CsvColumns = CsvColumns()
    labels_optional: bool = False
    """Whether rows of the label file may have no label; they are left out, and counted."""
    official: OfficialSplit | None = None
    citation: str = ""
    source: str = ""
    """Where to get the data."""
    unpack: str = ""
    """Command that unpacks the archives as delivered; {root} stands for the quoted folder. "": the usual one."""
    note: str = ""
    """What to know before trusting a score on it."""

    @field_validator("group_pattern")
    @classmethod
    def _has_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if "group" not in groups:
            raise ValueError("the pattern needs a part named (?P<group>...)")
        return pattern

    @field_validator("csv_delimiter")
    @classmethod
    def _is_delimiter(cls, delimiter: str) -> str:
        if len(delimiter) > 1:
            raise ValueError("the delimiter is one character")
        return delimiter

    @model_validator(mode="after")
    def _spellings_are_unique(self) -> DatasetSpec:
        class_table(self.classes)
        return self

    @property
    def class_spellings(self) -> Mapping[str, str]:
        """Key of every spelling (see class_key) to its class; build once per use, not per frame."""
        return class_table(self.classes)


def spec_names() -> tuple[str, ...]:
    """Return the names of the specs in the package."""
    folder = resources.files("gi_edge.data") / "specs"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def read_spec(name: str) -> DatasetSpec:
    """Return a spec of the package, or that of a TOML file when name ends with .toml.

    Raises: ConfigError with the nearest name, or with the faults of the file.
    """
    if name.endswith(".toml"):
        return value_from_mapping(DatasetSpec, {"name": name, **read_toml(Path(name))}, source=name)
    if name not in spec_names():
        raise ConfigError(
            f"no dataset spec '{name}' ({did_you_mean(name, spec_names())})",
            fix='--spec NAME, --spec FILE.toml, or spec = "NAME" in gi-edge.toml',
        )
    with resources.as_file(resources.files("gi_edge.data") / "specs" / f"{name}.toml") as path:
        return value_from_mapping(DatasetSpec, {"name": name, **read_toml(path)}, source=f"specs/{name}.toml")
