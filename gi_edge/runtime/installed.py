"""Which packages are installed in which version, without importing any of them."""

from __future__ import annotations

import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

_MODULES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "tensorrt_rtx": ("tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
}
"""Packages that bring a runtime's module."""
PACKAGES = ("gi-edge", "numpy", *(name for names in _MODULES.values() for name in names), "cuda-bindings", "torch")
UNKNOWN = "unknown"
"""Version of a package whose metadata is missing or broken."""
_BUILD_INFO = "onnxruntime/capi/build_and_package_info.py"


def installed_packages() -> dict[str, str]:
    """Return version by package, of those that are installed."""
    found = {name: version for name in PACKAGES if (version := _version(name)) is not None}
    for module, names in _MODULES.items():  # JetPack's TensorRT comes from apt, with or without metadata
        if found.keys().isdisjoint(names) and _is_there(module):
            found[names[0]] = UNKNOWN
    return found


def onnxruntime_cuda() -> str | None:
    """Return the CUDA version that the installed ONNX Runtime was built for, such as "13.0"; None if for none."""
    for name in ("onnxruntime-gpu", "onnxruntime"):
        try:
            path = Path(str(metadata.distribution(name).locate_file(_BUILD_INFO)))
            found = re.search(r"cuda_version\s*=\s*['\"]([\d.]+)['\"]", path.read_text(encoding="utf-8"))
        except (metadata.PackageNotFoundError, OSError, ValueError):
            continue
        if found:
            return found.group(1)
    return None


def _version(name: str) -> str | None:
    try:
        return str(metadata.version(name) or UNKNOWN)
    except metadata.PackageNotFoundError:
        return None
    except (KeyError, OSError, ValueError):
        return UNKNOWN


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
