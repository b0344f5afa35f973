"""Validated, frozen values: the base of every setting and artefact schema."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gi_edge.errors import ConfigError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Value(BaseModel):
    """A frozen value that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


V = TypeVar("V", bound=Value)


def value_from_mapping(model: type[V], data: Mapping[str, Any], *, source: str) -> V:
    """Validate a mapping. source names where it came from.

    Raises: ConfigError with every fault at once, and the nearest valid name for an unknown key.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(_fault(model, dict(item)) for item in error.errors())
        raise ConfigError(f"{source}: {faults}", fix=f"correct {source}") from error


def _fault(model: type[Value], item: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "value"
    if item["type"] == "extra_forbidden":
        if len(item["loc"]) > 1:
            return f"unknown key '{where}'"
        return f"unknown key '{where}' ({did_you_mean(where, model.model_fields)})"
    if item["type"] == "value_error":  # of a validator of ours, which says all
        return f"{where}: {item['msg'].removeprefix('Value error, ')}"
    found = "" if item["type"] == "missing" else f" (found {item['input']!r})"
    return f"{where}: {item['msg']}{found}"


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises: ConfigError naming line and column of a syntax error."""
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", fix=f"correct {path}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", fix=f"check that {path} exists") from error
    return content


def toml_value(text: str) -> Any:  # noqa: ANN401
    """Return one TOML value such as 3, 1e-4, true or [1, 2]; what is none, such as a bare word, is a string."""
    try:
        content = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return content["value"] if len(content) == 1 else text


def json_from_value(value: Value) -> str:
    """Return stable JSON: field order of the model, two spaces, one final newline."""
    return json.dumps(value.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
