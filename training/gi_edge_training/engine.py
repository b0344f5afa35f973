"""Where and in which precision training computes: accelerate, set up for one process or several."""

from __future__ import annotations

import atexit
import os
import shutil
import warnings
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState, PartialState

from gi_edge.errors import RuntimeUnavailableError
from gi_edge_training.config import TrainSettings

_PATIENCE = timedelta(hours=12)
"""How long processes wait for one another: one of them may decode a large dataset. A dead one is noticed at once."""


def device_from_name(name: str) -> torch.device:
    """Return the device of "auto", "cpu" or "cuda", where fp32 then means fp32.

    PyTorch's own default lets cuDNN round the factors of fp32 convolutions to TF32's 10-bit mantissa.

    Raises: RuntimeUnavailableError where there is no CUDA.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeUnavailableError("PyTorch finds no CUDA device here", fix="--device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def resolved_settings(settings: TrainSettings, device: torch.device) -> TrainSettings:
    """Return the settings with the precision that "auto" stands for on this device."""
    if settings.mixed_precision != "auto":
        return settings
    native = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else cpu_computes_bf16()
    return settings.model_copy(update={"mixed_precision": "bf16" if native else "no"})


def cpu_computes_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether this processor has bfloat16 instructions; without them autocast is slower than fp32."""
    try:
        flags = cpuinfo.read_text(encoding="utf-8").split()
    except OSError:  # no Linux
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


def accelerator_from_settings(settings: TrainSettings, device: torch.device) -> Accelerator:
    """Set up accelerate for resolved settings, and join the other processes if torchrun or accelerate started several.

    Raises: RuntimeUnavailableError if the device does not compute in the precision, or compile lacks a compiler.
    """
    if settings.mixed_precision == "fp16" and device.type == "cpu":
        raise RuntimeUnavailableError("fp16 training needs a GPU", fix="--mixed-precision bf16, or no")
    if settings.compile:
        check_compiler(device)
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        mixed_precision=settings.mixed_precision,
        cpu=device.type == "cpu",
        dynamo_backend="inductor" if settings.compile else None,
        kwargs_handlers=[
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
            InitProcessGroupKwargs(timeout=_PATIENCE),
        ],
    )
    if accelerator.num_processes > 1:
        # Gradients of 1x1 convolutions come in another order of their axes of length 1, which is no other order.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        atexit.register(PartialState().destroy_process_group)
    return accelerator


def check_compiler(device: torch.device) -> None:
    """Refuse torch.compile where there is no compiler for what it generates. Raises: RuntimeUnavailableError."""
    wanted = ("CXX", "g++") if device.type == "cpu" else ("CC", "gcc")
    compiler = os.environ.get(*wanted)
    if shutil.which(compiler) is None:
        raise RuntimeUnavailableError(
            f"torch.compile needs a compiler, and there is no {compiler}",
            fix=f"--no-compile, or install {compiler}, or name another: {wanted[0]}=COMPILER gi-edge train …",
        )
