"""One class under several spellings: mirrors change case, apostrophes and separators."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

_APOSTROPHES = re.compile("['`\u00b4\u02bc\u2018\u2019\u2032]")
_SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015]+")

_NEAR = 0.85
"""Least likeness (difflib) of a slip: "pollyp" and "polyp" have 0.91, "red lesion" and "green lesion" 0.82."""


def class_key(name: str) -> str:
    """Return what all spellings of a class have in common: "Barrett’s_Esophagus" gives "barretts esophagus"."""
    plain = _APOSTROPHES.sub("", name)  # before NFKC, which takes an acute accent apart
    return _SEPARATORS.sub(" ", unicodedata.normalize("NFKC", plain)).strip().casefold()


def class_table(classes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return key of every spelling → class. Raises: ValueError if two classes share a spelling."""
    table: dict[str, str] = {}
    for label, aliases in classes.items():
        for spelling in (label, *aliases):
            if table.setdefault(class_key(spelling), label) != label:
                raise ValueError(f"'{spelling}' is a spelling of '{table[class_key(spelling)]}' and of '{label}'")
    return table


def class_from_name(name: str, classes: Mapping[str, Sequence[str]]) -> str | None:
    """Return the class that a name spells; with no classes given, the name. None: it is none of them."""
    return class_table(classes).get(class_key(name)) if classes else name


def alike_names(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, other) of names that differ in case, blanks and such only, beside the first of their spelling."""
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault(class_key(name), name)) != name:
            yield name, other


def near_name(name: str, names: Sequence[str]) -> str | None:
    """Return the name that another may be a slip of; grades that differ in a digit are two classes, not a slip."""
    key, keys = class_key(name), {class_key(other): other for other in names if other != name}
    alike = [other for other in keys if re.findall(r"\d", other) == re.findall(r"\d", key)]
    near = difflib.get_close_matches(key, alike, n=1, cutoff=_NEAR)
    return keys[near[0]] if near else None
