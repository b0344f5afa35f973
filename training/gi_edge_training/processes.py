"""What the processes of one run do together; in a run of one process each of these is nothing."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import timm.layers
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list, gather_object
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gi_edge.errors import GiEdgeError, ModelError, RuntimeUnavailableError
from gi_edge.modeling.pixels import SCORED_TOGETHER, logits_of
from gi_edge_training.checkpoint import Identity, differing
from gi_edge_training.loader import Share

T = TypeVar("T")

_LAUNCHER_ACTS_WITHIN_S = 5


def share_of(accelerator: Accelerator) -> Share:
    """Return the part of every batch that this process takes."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's and accelerate's
    return Share(accelerator.process_index, accelerator.num_processes, here)


@contextmanager
def quiet_followers(accelerator: Accelerator) -> Iterator[None]:
    """Let the main process alone tell of an interrupt and of processes that are gone; the others just end.

    Raises: RuntimeUnavailableError in the main process if another one is gone.
    """
    if accelerator.num_processes == 1:
        yield
        return
    try:
        with _stopped_by_launcher():
            yield
    except KeyboardInterrupt:
        if accelerator.is_main_process:
            raise
        raise SystemExit(1) from None
    except RuntimeError as error:
        if not _is_connection_fault(error):
            raise
        if accelerator.is_main_process:
            raise RuntimeUnavailableError(
                "another process of this run ended, so all end",
                fix="see what it told; then the same command, with --resume if an epoch was finished",
            ) from error
        _wait_for_teller()
        raise SystemExit(1) from None


@contextmanager
def together(accelerator: Accelerator) -> Iterator[None]:
    """Run a block in every process and wait for all; if it fails in one, that one raises and the others just end.

    Without this the others would wait for ever. Nothing inside may itself wait for other processes.
    """
    fault: GiEdgeError | None = None
    try:
        yield
    except GiEdgeError as error:
        fault = error
    codes: list[int] = gather_object([fault.exit_code if fault else 0])
    teller = next((index for index, code in enumerate(codes) if code), None)
    if fault and teller == accelerator.process_index:
        raise fault
    if teller is not None:
        _wait_for_teller()
        raise SystemExit(codes[teller])


def first_of_machine(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do the work in the first process of every machine, then in the others: they find what it left on the disk."""
    made: list[T] = []
    for turn in (True, False):
        with together(accelerator):
            if accelerator.is_local_main_process is turn:
                made.append(work())
    return made[0]


def check_same(accelerator: Accelerator, identity: Identity) -> None:
    """Refuse processes that would train different runs. Raises: ModelError that names in what they differ."""
    first, *others = gather_object([dict(identity)])
    names = sorted({name for other in others for name in differing(first, other)})
    with together(accelerator):
        if names:
            raise ModelError(
                f"the machines of this run have different values of: {', '.join(names)}",
                fix="copy data and weights to every machine, give all the same command, and --mixed-precision by name",
            )


def from_main(value: T) -> T:
    """Return the main process's value."""
    held = [value]
    broadcast_object_list(held)
    return held[0]


def tensors_from_main(accelerator: Accelerator, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the main process's tensors, on this process's device; the others need not have any."""
    if accelerator.num_processes == 1:
        return tensors
    shapes = from_main({name: (value.shape, value.dtype) for name, value in tensors.items()})
    return {
        name: broadcast(
            tensors[name].to(accelerator.device)
            if accelerator.is_main_process
            else torch.empty(shape, dtype=dtype, device=accelerator.device)
        )
        for name, (shape, dtype) in shapes.items()
    }


def logits_together(
    accelerator: Accelerator, classifier: nn.Module, pixels: NDArray[np.uint8], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return what gi_edge.modeling.pixels.logits_of does, each process computing some of its batches.

    The batches are those of one process, so the logits are the same bits.
    """
    batches = np.array_split(rows, math.ceil(len(rows) / SCORED_TOGETHER))
    mine = range(accelerator.process_index, len(batches), accelerator.num_processes)
    found = [(number, logits_of(classifier, pixels, batches[number])) for number in mine]
    return np.concatenate([logits for _, logits in sorted(gather_object(found), key=lambda item: item[0])])


def trains_batch_norm(classifier: nn.Module) -> bool:
    """Return whether a batch normalisation trains, so that the frames of a batch are not independent."""
    return any(
        isinstance(layer, _BatchNorm) and any(weight.requires_grad for weight in layer.parameters())
        for layer in classifier.modules()
    )


def normalise_together(accelerator: Accelerator, classifier: nn.Module) -> None:
    """Make batch normalisation that trains see the whole batch, as it does in one process.

    Raises: RuntimeUnavailableError on CPUs, where PyTorch has no such layer.
    """
    if accelerator.num_processes == 1 or not trains_batch_norm(classifier):
        return
    if accelerator.device.type != "cuda":
        raise RuntimeUnavailableError(
            "this backbone has batch normalisation, which several CPU processes cannot compute together",
            fix="start one process: gi-edge train",
        )
    timm.layers.convert_sync_batchnorm(classifier)  # replaces the layers inside


@contextmanager
def _stopped_by_launcher() -> Iterator[None]:
    """Take the SIGTERM that a launcher sends when another process died as what Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_: int, __: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait_for_teller() -> None:
    """Let the process that tells end first: the launcher ends all as soon as one of them has."""
    time.sleep(_LAUNCHER_ACTS_WITHIN_S)


def _is_connection_fault(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or "gloo" in text or "connection closed by peer" in text
