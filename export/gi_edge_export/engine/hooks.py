"""What a runtime calls while it builds: a monitor that draws progress.

Its class is made per toolkit, because its base belongs to the module that is installed. None of its methods may
raise: the caller is C++, and an exception there ends the process.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Protocol

from gi_edge.progress import Progress, Task
from gi_edge.runtime.tensorrt import Toolkit


class Monitor(Protocol):
    """A TensorRT progress monitor."""

    interrupt: BaseException | None
    """What stopped the build from within, such as Ctrl-C; None if nothing did."""


def monitor_of(toolkit: Toolkit, progress: Progress, title: str, stack: ExitStack) -> Monitor:
    """Return a monitor that shows the outermost phase as a bar and the inner ones as its note.

    stack closes the bar when the build ends, however it does.
    """
    trt = toolkit.trt

    class _Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupt: BaseException | None = None
            self.root = ""
            self.task: Task | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            try:
                if self.task is None:
                    self.root, self.task = phase_name, stack.enter_context(progress.task(title, num_steps))
                elif phase_name != self.root:
                    self.task.advance(0, phase_name.lower())
            except BaseException as error:  # noqa: BLE001  # kept, and raised when the build has returned
                self.interrupt = error

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                if self.task is not None and phase_name == self.root:
                    self.task.advance()
            except BaseException as error:  # noqa: BLE001  # as above; False asks the builder to stop
                self.interrupt = error
            return self.interrupt is None

        def phase_finish(self, phase_name: str) -> None:
            return None

    return _Monitor()
