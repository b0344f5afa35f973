"""Validated, frozen values: the base of every setting and artefact schema."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gi_edge.errors import ConfigError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_OURS = "Value error, "
_WORDS = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a table"),
    "string_type": "text",
    "path_type": "a path",
    "none_required": "left out",
    "finite_number": "a finite number",
    "literal_error": "{expected}",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}
"""Type of a fault, as pydantic names it, to what was wanted."""


class Value(BaseModel):
    """A frozen value that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


V = TypeVar("V", bound=Value)


@dataclass(frozen=True)
class Origin:
    """Where one value of a mapping came from."""

    name: str
    """Such as "--set rank=abc"."""
    mend: str
    """What to write there instead."""


def value_from_mapping(
    model: type[V], data: Mapping[str, Any], *, source: str, origins: Mapping[str, Origin] | None = None
) -> V:
    """Validate a mapping. source names where it came from; origins where single keys of it did, if that is known.

    Raises: ConfigError with every fault at once, and the nearest valid name for an unknown key.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = [(_origin(dict(item), origins or {}), _fault(model, dict(item))) for item in error.errors()]
        mends = dict.fromkeys(f"correct {source}" if origin is None else origin.mend for origin, _ in found)
        if all(origin is None for origin, _ in found):
            message = f"{source}: {'; '.join(fault for _, fault in found)}"
        else:
            message = "; ".join(f"{origin.name if origin else source}: {fault}" for origin, fault in found)
        raise ConfigError(message, fix="; ".join(mends)) from error


def _origin(item: Mapping[str, Any], origins: Mapping[str, Origin]) -> Origin | None:
    """Return the origin of the key at fault; a check of ours over several keys begins its words with the key."""
    said = str(item["msg"]).removeprefix(_OURS).split()
    key = next(iter(item["loc"]), None) or next(iter(said), "")
    return origins.get(str(key))


def _fault(model: type[Value], item: dict[str, Any]) -> str:
    where, kind = ".".join(str(part) for part in item["loc"]), item["type"]
    if kind == "extra_forbidden":
        if len(item["loc"]) > 1:
            return f"unknown key '{where}'"
        return f"unknown key '{where}' ({did_you_mean(where, model.model_fields)})"
    if kind in ("value_error", "assertion_error"):  # of a validator of ours, which says all
        return f"{where}: {item['msg'].removeprefix(_OURS)}" if where else item["msg"].removeprefix(_OURS)
    if kind == "missing":
        return f"{where} is missing"
    words = _WORDS.get(kind, "")
    wanted = words.format(**item.get("ctx", {})) if words else item["msg"].removeprefix("Input should be ")
    return f"{where or 'it'} must be {wanted}, found {item['input']!r}"


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
