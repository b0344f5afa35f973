"""Reading what trtexec, Polygraphy and ONNX Runtime's perf test print."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Told:
    """What a tool said of itself and of the time of one frame."""

    tool: str
    """Name, with the version where it prints one."""
    milliseconds: float


def told_by_trtexec(output: str) -> Told | None:
    """Read the median GPU compute time of TensorRT 8 to 11; None if the output has none.

    Such as "[I] GPU Compute Time: min = 5.34595 ms, max = 13.3388 ms, mean = 7.58404 ms, median = 7.14139 ms, …", in
    a run headed "&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # …".
    """
    median = re.search(r"GPU Compute Time: .*?median = ([\d.e+-]+) ms", output)
    version = re.search(r"\[TensorRT v(\d+)\]", output)
    if median is None:
        return None
    return Told(f"trtexec {_dotted(version.group(1))}" if version else "trtexec", float(median.group(1)))


def told_by_polygraphy(output: str) -> Told | None:
    """Read the mean over the iterations of the first runner; None if the output has none.

    Such as "[I] onnxrt-runner-N0-…  | Completed 100 iteration(s) in 5911 ms | Average inference time: 59.11 ms."
    """
    mean = re.search(r"\| Completed \d+ iteration\(s\) in .*?\| Average inference time: ([\d.e+-]+?) ms", output)
    return None if mean is None else Told("polygraphy", float(mean.group(1)))


def told_by_perf_test(output: str) -> Told | None:
    """Read the median latency, which option -s prints as "P50 Latency: 0.0167086 s" ("… is … sec" in older releases).

    None if the output has none.
    """
    median = re.search(r"P50 Latency(?::| is) ([\d.e+-]+) s", output)
    return None if median is None else Told("onnxruntime_perf_test", 1e3 * float(median.group(1)))


def version_of_polygraphy(output: str) -> str | None:
    """Read "Polygraphy | Version: 0.49.9 | Path: […]", which option --version prints."""
    version = re.search(r"Version: (\S+)", output)
    return None if version is None else version.group(1)


def _dotted(digits: str) -> str:
    """Return "8601" as 8.6.1 and "100300" as 10.3.0: major, then minor and patch of two digits since TensorRT 10."""
    if len(digits) == 4:
        return f"{digits[0]}.{digits[1]}.{int(digits[2:])}"
    return f"{int(digits[:-4])}.{int(digits[-4:-2])}.{int(digits[-2:])}"
