"""What a GPU draws while a scenario is timed, and whether it had to slow down, by NVML."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from gi_edge.artifacts.speed import Energy
from gi_edge.runtime.nvml import NvmlGpu, energy_millijoules, other_processes, power_watts, throttle_reasons

_PERIOD_SECONDS = 0.05
"""Between two looks at the power; NVML renews it every 20 to 100 ms."""
_LOOKS_PER_COUNT = 10
"""Who else is on the GPU is asked once in so many looks; the driver goes through all processes to tell."""
_LEAST_MILLIJOULES = 1000
"""A counter that moved by less is read too coarsely; it moves in steps of up to some hundred millijoules."""


@dataclass
class Reading:
    """What was seen of a GPU during one timed part; empty without one."""

    counted_millijoules: int | None = None
    powers_watts: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def energy(self, frames: int) -> Energy | None:
        """Return the energy of so many frames: by the counter, else by the mean of the sampled powers."""
        if not frames or not self.seconds:
            return None
        if self.counted_millijoules is not None and self.counted_millijoules >= _LEAST_MILLIJOULES:
            return Energy(
                method="energy counter",
                millijoules_per_frame=self.counted_millijoules / frames,
                mean_watts=self.counted_millijoules / 1e3 / self.seconds,
                seconds=self.seconds,
            )
        if not self.powers_watts:
            return None
        mean_watts = float(np.mean(self.powers_watts))
        return Energy(
            method="sampled power",
            millijoules_per_frame=mean_watts * self.seconds * 1e3 / frames,
            mean_watts=mean_watts,
            seconds=self.seconds,
        )


@dataclass
class Meter:
    """Watches a GPU while timed parts run on it; without one, or for a model on the CPU, it sees nothing."""

    gpu: NvmlGpu | None = None
    reasons: set[str] = field(default_factory=set)
    """Why the clocks were lower than they could be, in any timed part."""
    most_others: int = 0
    """Other processes that computed on the GPU at the same moment of a timed part."""

    @contextmanager
    def running(self) -> Iterator[Reading]:
        """Watch for as long as the block runs; the reading is complete after it."""
        reading = Reading()
        if self.gpu is None:
            yield reading
            return
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(self.gpu, reading, stop), daemon=True)
        before, started = energy_millijoules(self.gpu), time.perf_counter()
        watcher.start()
        try:
            yield reading
        finally:
            reading.seconds = time.perf_counter() - started
            after = energy_millijoules(self.gpu)
            stop.set()
            watcher.join()
        if before is not None and after is not None:
            reading.counted_millijoules = after - before

    def _watch(self, gpu: NvmlGpu, reading: Reading, stop: threading.Event) -> None:
        for look in itertools.count():
            self.reasons.update(throttle_reasons(gpu) or ())
            if look % _LOOKS_PER_COUNT == 0:
                self.most_others = max(self.most_others, other_processes(gpu, computes=True) or 0)
            watts = power_watts(gpu)
            if watts is not None:
                reading.powers_watts.append(watts)
            if stop.wait(_PERIOD_SECONDS):
                return
