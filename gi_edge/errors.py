"""The one exception tree. Every error a user can cause derives from GiEdgeError and says how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GiEdgeError(Exception):
    """A fault that its reader can mend.

    message: what failed and what was found, one line. fix: the literal command or edit that mends it.
    """

    exit_code = 1

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} → {self.fix}"


class ConfigError(GiEdgeError):
    """A setting, option or workspace file is wrong."""


class DataError(GiEdgeError):
    """Images, labels or a split are missing or cannot serve."""


class ModelError(GiEdgeError):
    """A backbone, its weights or an adapter do not fit together."""


class ArtifactError(GiEdgeError):
    """An adapter, bundle or result is absent, altered, half-written or in the way."""


class RuntimeUnavailableError(GiEdgeError):
    """An inference runtime or provider cannot do what was asked on this machine."""


class MissingDependencyError(GiEdgeError):
    """A package of an extra that is not installed is needed."""


class GateError(GiEdgeError):
    """A gate said no: the artefact exists or was refused, and the verdict is negative."""

    exit_code = 3


class ResumableInterrupt(KeyboardInterrupt):
    """Ctrl-C during work whose finished steps are kept: the same command with --resume goes on."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'? `` for the nearest known name, then the list of all known names."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}known: {', '.join(names) if names else 'none'}"
