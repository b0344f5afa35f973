"""The half-precision form of a classifier, and the proof that a graph is in the precision asked for."""

from __future__ import annotations

from torch import nn

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge_export.deploy import deployed_from_model
from gi_edge_export.graph_types import check_graph_precision

__all__ = ["check_graph_precision", "half_from_model"]


def half_from_model(model: nn.Module, spec: PreprocessSpec) -> nn.Module:
    """Return the deployed classifier in fp16, its statistics in fp32. The model given, merged, stays as it was."""
    return deployed_from_model(model, spec, "fp16")
