"""Classifiers other than ConvNeXt-V2: their own code, with the input scaling folded as far as it is exact."""

from __future__ import annotations

from typing import cast

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge_export.config import InputForm
from gi_edge_export.folds import affine_of, pixel_affine, with_input_affine
from gi_edge_export.network import wide

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


class Wide(nn.Module):
    """A layer that computes in fp32 whatever comes in, and answers in the type that came."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return layer(x) in x's type."""
        return cast(Tensor, self.layer(wide(x))).to(x.dtype)


class ScaledClassifier(nn.Module):
    """uint8 pixels [n, size, size, 3], or float32 [n, 3, size, size] scaled already → fp32 logits [n, classes].

    With a first convolution, std and 255 stand in its weights. So does the mean where nothing is padded; else it is
    subtracted from the pixels, since the border has to stay zero after it.
    """

    offset: Tensor | None
    factor: Tensor | None

    def __init__(self, model: nn.Module, spec: PreprocessSpec, input_form: InputForm) -> None:
        super().__init__()
        self.model = model
        self.dtype = torch.float32
        scale, shift = pixel_affine(spec)
        factor: Tensor | None = scale.float()
        offset: Tensor | None = (-shift / scale).float()
        stem = first_convolution(model)
        if input_form == "uint8" and stem is not None:
            padded = type(stem) is not nn.Conv2d or stem.padding != (0, 0)
            weight, bias = with_input_affine(affine_of(stem), scale, torch.zeros(3) if padded else shift)
            stem.weight.data = weight.float()
            if not padded:
                stem.bias = nn.Parameter(bias.float())
                offset = None
            factor = None
        self.register_buffer("offset", offset)
        self.register_buffer("factor", factor)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        if x.dtype == torch.uint8:  # cast before anything else: TensorRT takes the input only so
            x = x.to(torch.float32)
            x = x if self.offset is None else x - self.offset
            x = x if self.factor is None else x * self.factor
            x = x.permute(0, 3, 1, 2)
        return wide(cast(Tensor, self.model(x.to(self.dtype))))

    def make_half(self, dtype: torch.dtype) -> None:
        """Make all but the norms half."""
        self.dtype = dtype
        for module in list(self.model.modules()):
            if isinstance(module, Wide):
                continue
            for name, child in list(module.named_children()):
                if isinstance(child, _NORMS):
                    setattr(module, name, Wide(child))
        kept = {id(part) for item in self.model.modules() if isinstance(item, Wide) for part in item.modules()}
        for module in self.model.modules():
            if id(module) not in kept:
                for parameter in module.parameters(recurse=False):
                    parameter.data = parameter.data.to(dtype)
                for name, buffer in module.named_buffers(recurse=False):
                    if buffer.is_floating_point():
                        setattr(module, name, buffer.to(dtype))


def first_convolution(model: nn.Module) -> nn.Conv2d | None:
    """Return the convolution that takes the image, by timm's own record of it; None if there is none of 3 channels
    whose weights are used as they stand."""
    settings = getattr(model, "default_cfg", None) or {}
    name = settings.get("first_conv")
    if not isinstance(name, str):
        return None
    try:
        layer = model.get_submodule(name)
    except AttributeError:
        return None
    # A subclass that computes its weights anew, such as one that standardises them, would undo what is folded in.
    fits = type(layer) in (nn.Conv2d, Conv2dSame) and layer.in_channels == 3 and layer.groups == 1
    return cast(nn.Conv2d, layer) if fits else None
