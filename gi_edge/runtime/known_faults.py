"""Versions that are known not to go together, from known_faults.toml."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gi_edge.config import Value, read_toml, value_from_mapping

_TABLE = Path(__file__).with_name("known_faults.toml")
_COMPARED: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


ANY: dict[str, tuple[str, ...]] = {
    "tensorrt-any": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt-rtx-any": ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
}
"""Facts that are made of others: the version of the first of these packages that is installed and says it."""


class KnownFault(Value):
    """One pair or triple of versions, and what is known of it."""

    when: dict[str, str]
    """Condition by fact; the table's head names the facts."""
    stops: tuple[str, ...]
    """Runtimes that cannot work then."""
    text: str
    fix: str
    source: str


class _Table(Value):
    fault: tuple[KnownFault, ...]


def known_faults() -> tuple[KnownFault, ...]:
    """Read the table."""
    return value_from_mapping(_Table, read_toml(_TABLE), source=str(_TABLE)).fault


def faults_here(facts: Mapping[str, str]) -> tuple[KnownFault, ...]:
    """Return the entries that hold for these facts; a version that is not known holds for no comparison."""
    every = {name: _any_of(facts, packages) for name, packages in ANY.items()} | dict(facts)
    return tuple(fault for fault in known_faults() if all(_holds(every.get(n), c) for n, c in fault.when.items()))


def _any_of(facts: Mapping[str, str], packages: tuple[str, ...]) -> str | None:
    found = [facts[name] for name in packages if name in facts]
    return next((version for version in found if _numbers(version)), found[0] if found else None)


def _holds(found: str | None, condition: str) -> bool:
    if condition in ("present", "absent"):
        return (found is not None) == (condition == "present")
    version = _numbers(found or "")
    if not version:
        return False
    return all(_compares(version, part) for part in condition.split(","))


def _compares(version: tuple[int, ...], condition: str) -> bool:
    sign, limit = re.fullmatch(r"([<>=]+)([\d.]+)", condition.strip()).groups()  # type: ignore[union-attr]
    wanted = _numbers(limit)
    length = max(len(version), len(wanted))
    padded = [numbers + (0,) * (length - len(numbers)) for numbers in (version, wanted)]
    return _COMPARED[sign](padded[0], padded[1])


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: "10.3.0.post1" is 10, 3, 0."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()
