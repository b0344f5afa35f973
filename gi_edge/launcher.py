"""What torchrun's and accelerate's environment says of the processes of one run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

_ACTS_WITHIN_S = 5


def is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process is the first of all, or the only one."""
    return environment.get("RANK", "0") == "0"


def is_first_of_machine(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process is the first on its machine, or the only one."""
    return environment.get("LOCAL_RANK", "0") == "0"


def processes_here(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes of the run are on this machine."""
    return int(environment.get("LOCAL_WORLD_SIZE", "1"))


def wait_for_teller() -> None:
    """Let the process that tells end first: the launcher ends all as soon as one of them has."""
    time.sleep(_ACTS_WITHIN_S)
