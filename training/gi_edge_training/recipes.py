"""Recipes, and how they come together with gi-edge.toml, --set and flags."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from gi_edge.config import Origin, Value, read_toml, toml_value, value_from_mapping
from gi_edge.data.spec import spec_names
from gi_edge.errors import ConfigError, did_you_mean
from gi_edge.workspace import FILE_NAME
from gi_edge_training.config import TrainSettings

_BESIDE_SETTINGS = ("weights", "tracker")
"""Said with the settings, but none of them: they do not decide the outcome, and a path belongs to one machine."""


class Asked(Value):
    """What is asked of a training, each over the one before."""

    recipe: str | None
    """Name of a recipe of the package, or a .toml file."""
    spec: str
    """Of the dataset; a recipe may have settings for it."""
    classes_given: bool = False
    """Whether a split or excluded classes are given, which say which classes there are; then the recipe does not."""
    workspace: dict[str, Any]
    """[train] of gi-edge.toml, without its recipe."""
    assignments: tuple[str, ...] = ()
    """KEY=VALUE of --set."""
    flags: dict[str, Any]
    """Options given, by the name of the setting."""


@dataclass(frozen=True)
class Resolved:
    """The outcome."""

    settings: TrainSettings
    beside: dict[str, Any]
    """What was said of the fields weights and tracker of a TrainJob."""
    exclude: tuple[str, ...]
    """Classes that the recipe leaves out of this dataset."""
    notes: tuple[str, ...]
    """What the user should know of the outcome."""
    origins: Mapping[str, Origin]
    """Where each setting that was given came from."""


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes in the package."""
    folder = resources.files("gi_edge_training") / "recipes"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def read_recipe(name: str) -> dict[str, Any]:
    """Return a recipe of the package, or of a .toml file. Raises: ConfigError with the nearest name."""
    if name.endswith(".toml"):
        return read_toml(Path(name))
    if name not in recipe_names():
        raise ConfigError(
            f"no recipe '{name}' ({did_you_mean(name, recipe_names())})", fix="--recipe NAME or FILE.toml"
        )
    with resources.as_file(resources.files("gi_edge_training") / "recipes" / f"{name}.toml") as path:
        return read_toml(path)


def recipe_text(name: str) -> str:
    """Return the comment at the head of a recipe of the package, which says what it is for."""
    text = (resources.files("gi_edge_training") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    head = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.removeprefix("#").strip() for line in head)


def resolve(asked: Asked) -> Resolved:
    """Bring all sources together: recipe, its table for the dataset, gi-edge.toml, --set, flags; the later wins.

    Raises: ConfigError for an unknown key, with the nearest; for a value out of range; for a setting given by --set
    or a flag that the method does not read; and for full fine-tuning at the learning rate of LoRA.
    """
    recipe, exclude = _recipe_for(asked)
    explicit = {**_assigned(asked.assignments), **asked.flags}
    merged = {**recipe, **asked.workspace, **explicit}
    beside = {name: merged.pop(name) for name in _BESIDE_SETTINGS if name in merged}
    origins = _origins(asked, recipe)
    settings = value_from_mapping(TrainSettings, merged, source="the training settings", origins=origins)
    _check_belongs(settings, explicit)
    if settings.method == "full" and "learning_rate" not in merged:
        raise ConfigError(
            f"full fine-tuning needs a learning rate of its own; the default, {settings.learning_rate:g}, is LoRA's",
            fix="--recipe full, or --learning-rate 1e-4",
        )
    unread = [name for name in merged if name in settings.unread()]
    notes = [f"method {settings.method} does not read {', '.join(unread)}"] if unread else []
    if exclude:
        notes.append(f"recipe {asked.recipe} leaves out of {asked.spec}: {', '.join(exclude)}")
    return Resolved(settings, beside, exclude, tuple(notes), origins)


def _recipe_for(asked: Asked) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings of a recipe for a spec, and the classes it leaves out."""
    if asked.recipe is None:
        return {}, ()
    content = read_recipe(asked.recipe)
    tables = content.pop("dataset", {})
    unknown = [name for name in tables if name not in spec_names() and not name.endswith(".toml")]
    if unknown or not all(isinstance(table, Mapping) for table in tables.values()):
        fault = f"no spec '{unknown[0]}' ({did_you_mean(unknown[0], spec_names())})" if unknown else "not a table"
        raise ConfigError(f"recipe {asked.recipe}, [dataset]: {fault}", fix="[dataset.SPEC] with the name of a spec")
    own = dict(tables.get(Path(asked.spec).name, {}))
    exclude = tuple(own.pop("exclude", ()))
    return {**content, **own}, () if asked.classes_given else exclude


def _origins(asked: Asked, recipe: Mapping[str, Any]) -> dict[str, Origin]:
    """Return where each setting came from, the last of its sources, and what could stand there."""
    found = {name: _origin_in(f"recipe {asked.recipe}", name) for name in recipe}
    found |= {name: _origin_in(f"[train] of {FILE_NAME}", name) for name in asked.workspace}
    for text in asked.assignments:
        name = _key(text.partition("=")[0])
        found[name] = Origin(f"--set {text}", f"--set {name}={_usual(name) or 'VALUE'}")
    for name in asked.flags:
        flag = f"--{name.removesuffix('_px').replace('_', '-')}"
        found[name] = Origin(flag, f"{flag} {_usual(name) or 'VALUE'}")
    return found


def _origin_in(place: str, name: str) -> Origin:
    """Return an origin in a file of TOML, whose text needs quotes."""
    usual = _usual(name)
    usual = f'"{usual}"' if usual and isinstance(toml_value(usual), str) else usual
    is_known = name in (*TrainSettings.model_fields, *_BESIDE_SETTINGS)
    mend = f"{name} = {usual}" if usual else f"{'correct' if is_known else 'rename or delete'} {name}"
    return Origin(place, f"{mend} in {place}")


def _usual(name: str) -> str:
    """Return the default of a setting as --set takes it; "" where there is none."""
    default = "tensorboard" if name == "tracker" else getattr(TrainSettings.model_fields.get(name), "default", None)
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def _key(text: str) -> str:
    return text.strip().replace("-", "_")


def _assigned(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return KEY=VALUE pairs as a mapping. Raises: ConfigError for another form or an unknown key."""
    known = (*TrainSettings.model_fields, *_BESIDE_SETTINGS)
    found: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        key = _key(key)
        if not equals:
            raise ConfigError(f"--set {text}: there is no '='", fix="--set KEY=VALUE, such as --set epochs=20")
        if key not in known:
            raise ConfigError(f"--set {text}: no setting '{key}' ({did_you_mean(key, known)})", fix="--set KEY=VALUE")
        found[key] = toml_value(value.strip())
    return found


def _check_belongs(settings: TrainSettings, explicit: Mapping[str, Any]) -> None:
    for name in explicit:
        if name in settings.unread():
            home = "lora" if name != "drop_path" else "full"
            raise ConfigError(
                f"method {settings.method} does not read {name}", fix=f"leave {name} out, or --method {home}"
            )
