"""Turn a missing package into an error that names the extra to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gi_edge.errors import MissingDependencyError

_PACKAGES_OF_EXTRA = {
    "train": (
        *("torch", "torchvision", "timm", "peft", "safetensors", "tensorboard", "huggingface_hub"),
        *("matplotlib", "jinja2"),
    ),
    "export": ("torch", "torchvision", "timm", "peft", "safetensors", "onnx", "onnxscript", "onnxruntime"),
    "cuda": ("onnxruntime",),
    "tensorrt": ("tensorrt", "cuda"),
    "tensorrt-rtx": ("tensorrt_rtx", "cuda"),
    "report": ("matplotlib", "jinja2"),
    "video": ("av",),
}


def install_command(extra: str) -> str:
    """Return the literal command that installs an extra."""
    return f"pip install 'gi-edge[{extra}]'"


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import the packages of an extra within this context.

    Raises: MissingDependencyError naming the extra if one of its packages is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES_OF_EXTRA[name]:
            raise
        raise MissingDependencyError(f"the package '{package}' is not installed", fix=install_command(name)) from error
