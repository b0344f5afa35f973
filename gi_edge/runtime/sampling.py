"""Which frames of a video are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pydantic import Field

from gi_edge.config import Value

SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".mpg", ".mpeg", ".webm", ".wmv", ".m4v"})
"""A file of such a name is a video."""
_SLACK_S = 1e-6
"""Time stamps are rounded to the file's own ticks; a frame due at 0.2 s may stand at 0.1999999."""
_FALL_S = 1.0
"""Times that fall back by more begin anew: to wait for the frame that was due would pass over all until then."""


class Sampling(Value):
    """Every nth frame, or so many a second by their time stamps; all where neither is given."""

    every: int = Field(default=1, ge=1)
    rate: float | None = Field(default=None, gt=0)
    """Frames per second at most. One is taken as soon as it is due, so a variable frame rate does not shift them."""

    def picker(self, average_rate: Fraction | None) -> Picker:
        """Return what chooses in one video. average_rate: stands in where a frame has no time stamp."""
        return Picker(self, average_rate)

    def expected(self, frames: int, average_rate: Fraction | None) -> int | None:
        """Return about how many of so many frames will be taken; None where that needs a rate that is not known."""
        if self.rate is None:
            return -(-frames // self.every)
        return None if not average_rate else min(frames, round(frames / float(average_rate) * self.rate))


@dataclass
class Picker:
    """Chooses frames of one video, given in order."""

    sampling: Sampling
    average_rate: Fraction | None
    _due_s: float | None = None

    def takes(self, number: int, time_s: float | None) -> bool:
        """Return whether the frame of this number and time is looked at."""
        if self.sampling.rate is None:
            return number % self.sampling.every == 0
        if time_s is None:
            time_s = number / float(self.average_rate) if self.average_rate else 0.0
        step = 1 / self.sampling.rate
        if self._due_s is not None and time_s + step + _FALL_S < self._due_s:
            self._due_s = None
        if self._due_s is not None and time_s + _SLACK_S < self._due_s:
            return False
        due = time_s if self._due_s is None else self._due_s
        self._due_s = due + step * (int((time_s + _SLACK_S - due) / step) + 1)
        return True
