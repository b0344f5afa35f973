"""Where and in which precision training computes: accelerate, set up for one process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from gi_edge.errors import RuntimeUnavailableError
from gi_edge_training.config import TrainSettings


def device_from_name(name: str) -> torch.device:
    """Return the device of "auto", "cpu" or "cuda". Raises: RuntimeUnavailableError where there is no CUDA."""
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


def peak_memory_bytes(device: torch.device) -> int:
    """Return the largest memory of this process so far; on a GPU, what PyTorch held there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # kilobytes on Linux


def accelerator_from_settings(settings: TrainSettings, device: torch.device) -> Accelerator:
    """Set up accelerate for resolved settings. Raises: RuntimeUnavailableError if several processes were launched."""
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        mixed_precision=settings.mixed_precision,
        gradient_accumulation_steps=settings.accumulate,
        cpu=device.type == "cpu",
    )
    if accelerator.num_processes > 1:
        raise RuntimeUnavailableError(
            f"training in {accelerator.num_processes} processes is not supported yet", fix="start one: gi-edge train"
        )
    return accelerator
