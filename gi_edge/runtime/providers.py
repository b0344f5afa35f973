"""The GPU providers of ONNX Runtime: their names, their libraries, and why one does not load."""

from __future__ import annotations

import contextlib
import ctypes
import io
from pathlib import Path

import onnxruntime as ort

from gi_edge.runtime.session import Provider

PROVIDER_NAMES: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


def load_cuda_libraries() -> None:
    """Load CUDA and cuDNN from the nvidia packages of this environment, where they are installed by pip.

    ONNX Runtime does not look there by itself (its documentation of the CUDA provider, "Preload DLLs"); older versions
    cannot. What it prints about libraries that it did not find is dropped: provider_fault says what is missing.
    """
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def provider_fault(provider: Provider) -> str:
    """Return what the system's loader says of a provider's library, such as a missing libcudnn.so.9; "" if it loads."""
    folder = Path(ort.__file__).parent / "capi"
    if provider == "cpu":
        return ""
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"))
        ctypes.CDLL(str(folder / f"libonnxruntime_providers_{provider}.so"))
    except OSError as error:
        return str(error)
    return ""
