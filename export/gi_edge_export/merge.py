"""Fold the adapter's matrices into the frozen weights."""

from __future__ import annotations

import copy

import peft
from torch import nn


def merged_from_adapter(model: peft.PeftModel) -> nn.Module:
    """Return a plain model with the adapter merged in fp32; the one given stays unmerged.

    Half precision comes after the merge, never before: merging in fp16 rounds twice.
    """
    merged: nn.Module = copy.deepcopy(model).float().merge_and_unload(safe_merge=True)
    return merged.eval()
