"""What of a model and its optimiser moves in training: kept in a RunState, and put back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gi_edge_training.checkpoint import RunState


def moving_tensors(classifier: nn.Module) -> dict[str, Tensor]:
    """Return the weights that train and the buffers that are saved, such as the means of batch normalisation."""
    trained = {name: value for name, value in classifier.named_parameters() if value.requires_grad}
    saved = classifier.state_dict(keep_vars=True)
    return trained | {name: value for name, value in classifier.named_buffers() if name in saved}


def remember(state: RunState, moving: dict[str, Tensor], optimizer: torch.optim.Optimizer, *, is_best: bool) -> None:
    """Copy weights and optimiser into the state, on the CPU."""
    for name, value in moving.items():
        now = value.detach().cpu().clone()
        state.tensors[f"weights/{name}"] = now
        if is_best:
            state.tensors[f"best/{name}"] = now.clone()
        for key, moment in optimizer.state.get(value, {}).items():
            state.tensors[f"optimizer/{name}/{key}"] = torch.as_tensor(moment).detach().cpu().clone()


def restore(tensors: dict[str, Tensor], moving: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Put back what remember kept."""
    load_weights(moving, tensors, "weights/")
    for name, value in moving.items():
        prefix = f"optimizer/{name}/"
        for key, moment in tensors.items():
            if key.startswith(prefix):
                # the optimiser keeps its count of steps on the CPU
                where = "cpu" if moment.ndim == 0 else value.device
                optimizer.state[value][key.removeprefix(prefix)] = moment.to(where, copy=True)


def load_weights(moving: dict[str, Tensor], tensors: dict[str, Tensor], prefix: str) -> None:
    """Copy the tensors of that prefix into the model."""
    with torch.no_grad():
        for name, value in moving.items():
            value.copy_(tensors[f"{prefix}{name}"])
