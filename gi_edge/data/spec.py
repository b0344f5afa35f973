"""Dataset specs: what is known of a dataset besides its files. One TOML file each in specs/."""

from __future__ import annotations

import re
from importlib import resources

from pydantic import field_validator

from gi_edge.config import Value, read_toml, value_from_mapping
from gi_edge.errors import ConfigError, did_you_mean


class DatasetSpec(Value):
    """Layout, groups and licence of a dataset whose images lie in one folder per class."""

    name: str
    title: str
    licence: str
    group_pattern: str | None = None
    """Regular expression on the file name; its part "group" is the video or patient, its part "number", where there
    is one, the frame's number in it. None: no group is known."""
    group_noun: str = "group"
    """What a group is: video, patient."""
    citation: str = ""

    @field_validator("group_pattern")
    @classmethod
    def _has_group(cls, pattern: str | None) -> str | None:
        if pattern is not None and "group" not in re.compile(pattern).groupindex:
            raise ValueError("the pattern needs a part named (?P<group>...)")
        return pattern


def spec_names() -> tuple[str, ...]:
    """Return the names of the specs in the package."""
    folder = resources.files("gi_edge.data") / "specs"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def read_spec(name: str) -> DatasetSpec:
    """Return a spec of the package. Raises: ConfigError with the nearest name."""
    if name not in spec_names():
        raise ConfigError(
            f"no dataset spec '{name}' ({did_you_mean(name, spec_names())})",
            fix='--spec NAME, or spec = "NAME" in gi-edge.toml',
        )
    with resources.as_file(resources.files("gi_edge.data") / "specs" / f"{name}.toml") as path:
        return value_from_mapping(DatasetSpec, {"name": name, **read_toml(path)}, source=f"specs/{name}.toml")
