"""TensorRT 10, TensorRT 11 and TensorRT for RTX as one toolkit: the only module that imports any of them.

What differs, by NVIDIA's migration guide "Migrating Python Code from TensorRT 10.x to 11.x" and, for RTX, as found in
TensorRT for RTX 1.7:
strong typing: asked for by a creation flag in 10, always on in 11 and RTX, where the flag may be absent;
builder flags for precision: in 10 only, and refused with strong typing, so none is ever set here;
timing cache: of use in 10 and 11; in RTX its calls do nothing and warn;
compute capabilities: set in RTX only, which builds without a GPU; 10 and 11 build for the GPU they run on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from gi_edge.artifacts.engine import RuntimeName
from gi_edge.deps import extra
from gi_edge.errors import RuntimeUnavailableError

_OLDEST_MAJOR: dict[RuntimeName, int] = {"tensorrt": 10, "tensorrt-rtx": 1}
_ERRORS_KEPT = 20


class Log(Protocol):
    """A TensorRT logger that keeps what went wrong last; empty it before a call whose failure is to be told."""

    errors: deque[str]


@dataclass(frozen=True)
class Toolkit:
    """One installed runtime; trt is its Python module."""

    name: RuntimeName
    trt: Any

    @property
    def version(self) -> str:
        """Version of the runtime, such as "10.3.0"."""
        return str(self.trt.__version__)

    @property
    def text(self) -> str:
        """Name and version as folders carry them, such as "tensorrt-10.3.0"."""
        return f"{self.name}-{self.version}"

    @property
    def builds_for_others(self) -> bool:
        """Whether it builds for architectures that are not this machine's."""
        return self.name == "tensorrt-rtx"

    @property
    def keeps_timings(self) -> bool:
        """Whether a timing cache does anything."""
        return self.name == "tensorrt"

    def network_flags(self) -> int:
        """Return the creation flags of a strongly typed network."""
        flag = getattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return 0 if flag is None else 1 << int(flag)

    def is_strongly_typed(self, network: Any) -> bool:  # noqa: ANN401
        """Return whether a network keeps the types of its graph; without the flag there is no other kind."""
        flag = getattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return flag is None or bool(network.get_flag(flag))

    def served_sms(self) -> tuple[int, ...]:
        """Return the SM numbers that can be named as targets, such as 86; none where only this GPU can be."""
        if not self.builds_for_others:
            return ()
        names = self.trt.ComputeCapability.__members__
        return tuple(sorted(int(name[2:]) for name in names if name.startswith("SM") and name[2:].isdigit()))


def load_toolkit(name: RuntimeName) -> Toolkit:
    """Import a runtime.

    Raises: MissingDependencyError naming the extra; RuntimeUnavailableError if it is installed but does not load, or
    is too old.
    """
    try:
        with extra(name):
            trt = _imported(name)
    except (ImportError, OSError) as error:
        raise RuntimeUnavailableError(
            f"{name} is installed but does not load: {error}",
            fix=f"pip install --force-reinstall {name}, and check the driver with nvidia-smi",
        ) from error
    toolkit = Toolkit(name, trt)
    major = toolkit.version.partition(".")[0]
    if not major.isdigit() or int(major) < _OLDEST_MAJOR[name]:
        raise RuntimeUnavailableError(
            f"{name} {toolkit.version} is too old; {_OLDEST_MAJOR[name]}.0 or later is needed",
            fix=f"pip install --upgrade {name}, or on a Jetson update JetPack to 6",
        )
    return toolkit


def _imported(name: RuntimeName) -> Any:  # noqa: ANN401
    if name == "tensorrt":
        import tensorrt

        return tensorrt
    import tensorrt_rtx

    return tensorrt_rtx


def log_of(toolkit: Toolkit) -> Log:
    """Return a logger that keeps errors and drops the rest.

    Its class is made here because its base belongs to the module that is installed. Its method may not raise: the
    caller is C++, and an exception there ends the process.
    """
    trt = toolkit.trt

    class _Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=_ERRORS_KEPT)

        def log(self, severity: Any, text: str) -> None:  # noqa: ANN401
            if str(severity).rpartition(".")[2] in ("INTERNAL_ERROR", "ERROR"):
                self.errors.append(text)

    return _Log()
