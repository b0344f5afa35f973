"""What is not the same where bench results were measured: machines, software, settings, classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gi_edge.artifacts.environment import Environment
from gi_edge.artifacts.results import BenchResult
from gi_edge.config import Value


class EnvironmentDifference(Value):
    """A fact about the machines, their software, the settings or the bundles that is not the same in all results."""

    fact: str
    values: tuple[str, ...]
    """In the order of the runs; empty where one does not tell."""


def environment_differences(environments: Sequence[Environment]) -> Iterator[EnvironmentDifference]:
    """Yield the facts in which environments differ; loads and states of one moment are left out."""
    return _differences([_facts(environment) for environment in environments])


def settings_differences(settings: Sequence[Mapping[str, Any]]) -> Iterator[EnvironmentDifference]:
    """Yield the settings in which bench runs differ."""
    return _differences([dict(_settings(given, "setting ")) for given in settings])


def class_differences(results: Sequence[BenchResult]) -> Iterator[EnvironmentDifference]:
    """Yield the bundles whose classes, or their order, are not the same in all results that have them."""
    tables = [{bundle.name: bundle.classes for bundle in result.bundles} for result in results]
    for name in dict.fromkeys(name for table in tables for name in table):
        if len({table[name] for table in tables if name in table}) > 1:
            values = tuple(", ".join(table.get(name, ())) for table in tables)
            yield EnvironmentDifference(fact=f"classes of {name}", values=values)


def _differences(tables: Sequence[Mapping[str, str]]) -> Iterator[EnvironmentDifference]:
    for fact in dict.fromkeys(name for table in tables for name in table):
        values = tuple(table.get(fact, "") for table in tables)
        if len(set(values)) > 1:
            yield EnvironmentDifference(fact=fact, values=values)


def _facts(environment: Environment) -> dict[str, str]:
    left_out = {"gpus", "packages", "thread_variables", "load_before", "load_after", "providers"}
    facts = {
        name.replace("_", " "): str(value)
        for name, value in environment.model_dump(exclude=left_out).items()
        if value not in (None, "")
    }
    for number, gpu in enumerate(environment.gpus):
        values = gpu.model_dump(exclude={"before", "after"})
        label = f"GPU {number} " if len(environment.gpus) > 1 else "GPU "
        facts |= {f"{label}{name.replace('_', ' ')}": str(value) for name, value in values.items() if value is not None}
    facts["providers"] = ", ".join(environment.providers)
    facts |= environment.packages
    return facts | environment.thread_variables


def _settings(given: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        label = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _settings(value, f"{label} ")
        else:
            yield label, _words(value)


def _words(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_words(item)}" for name, item in value.items() if item not in (None, False))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "not set"
    return f"{value:g}" if isinstance(value, float) else str(value)
