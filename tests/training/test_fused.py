"""The fused blocks compute what timm's and peft's compute, in both directions."""

from __future__ import annotations

import peft
import pytest
import timm
import torch
from torch.nn import functional

from gi_edge.modeling.lora import TARGETS
from gi_edge_training.fused import fused_blocks

CLASSES = 3
SHAPE = {"depths": (1, 2, 1, 1), "dims": (8, 16, 24, 32), "num_classes": CLASSES}


def network(base: str, *, lora: bool = True, **options: object) -> torch.nn.Module:
    """A model in float64 whose GRN, LoRA and norms are far from their neutral start values."""
    torch.manual_seed(0)
    model = timm.create_model(base, **SHAPE)
    if lora:
        model.requires_grad_(False)
        config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=TARGETS, modules_to_save=["head.fc"], **options)
        model = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "grn" in name or "lora_B" in name or "norm" in name:
                parameter.add_(0.5 * torch.randn_like(parameter))
    return model.double().train()


def outcome(model: torch.nn.Module, pixels: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and the gradient of every trainable parameter and of the pixels."""
    pixels = pixels.clone().requires_grad_()
    logits = model(pixels)
    functional.cross_entropy(logits.float(), torch.arange(len(pixels)) % CLASSES).backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.zero_grad()
    return logits.detach(), {**grads, "pixels": pixels.grad}


def frames(size: int = 64) -> torch.Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("base", ["convnextv2_atto", "convnextv2_tiny"], ids=["conv", "linear"])
@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
def test_same_logits_and_gradients(base, lora):
    model = network(base, lora=lora)
    logits, grads = outcome(model, frames())
    with fused_blocks(model) as count:
        fused_logits, fused_grads = outcome(model, frames())
    assert count == 5
    torch.testing.assert_close(fused_logits, logits, rtol=1e-10, atol=1e-12)
    assert fused_grads.keys() == grads.keys()
    for name, grad in grads.items():
        assert grad.abs().max() > 0, name
        torch.testing.assert_close(fused_grads[name], grad, rtol=1e-6, atol=1e-7 * grad.abs().max().item(), msg=name)


def test_rank_stabilised_lora_keeps_its_scale():
    model = network("convnextv2_atto", use_rslora=True)
    plain = outcome(model, frames())[0]
    with fused_blocks(model) as count:
        torch.testing.assert_close(outcome(model, frames())[0], plain, rtol=1e-10, atol=1e-12)
    assert count == 5


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}], ids=["dropout", "dora"])
def test_what_it_does_not_know_stays_with_peft(options):
    with fused_blocks(network("convnextv2_atto", **options)) as count:
        assert count == 0


def test_other_networks_stay_as_they_are():
    for model in (
        timm.create_model("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 8, 8)),
        timm.create_model("convnextv2_atto", act_layer="gelu_tanh", **SHAPE),
        timm.create_model("convnextv2_atto", act_layer="relu", **SHAPE),
    ):
        with fused_blocks(model) as count:
            assert count == 0


def test_the_plain_forward_returns():
    model = network("convnextv2_atto")
    before = outcome(model, frames())[0]
    with pytest.raises(KeyError), fused_blocks(model):
        raise KeyError
    assert torch.equal(outcome(model, frames())[0], before)
    assert not any("forward" in vars(module) for module in model.modules())


def test_gradients_in_bf16_are_as_near_to_the_truth_as_those_of_the_plain_form():
    model = network("convnextv2_tiny")
    truth = flat(outcome(model, frames(96))[1])
    single, pixels = model.float(), frames(96).float()
    with torch.autocast("cpu", torch.bfloat16):
        plain = flat(outcome(single, pixels)[1])
        with fused_blocks(single):
            fused = flat(outcome(single, pixels)[1])
    error = (plain - truth).norm() / truth.norm()
    assert 1e-3 < error < 0.05
    assert (fused - truth).norm() / truth.norm() < 1.5 * error


def flat(grads: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([grad.flatten().double() for grad in grads.values()])


def test_silent_channels_have_no_gradient_and_no_nan():
    model = network("convnextv2_tiny")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "fc1" in name:
                parameter.zero_()
    with fused_blocks(model):
        _, grads = outcome(model, frames())
    assert all(torch.isfinite(grad).all() for grad in grads.values())


def test_frozen_weights_are_cast_once():
    """And those that train at every step, since they change."""
    model = network("convnextv2_tiny").float()
    casts = []
    to = torch.Tensor.to

    def counted(tensor, *given, **named):
        if given == (torch.bfloat16,) and tensor.ndim == 2:
            casts.append(tuple(tensor.shape))
        return to(tensor, *given, **named)

    with pytest.MonkeyPatch.context() as patch, fused_blocks(model), torch.autocast("cpu", torch.bfloat16):
        patch.setattr(torch.Tensor, "to", counted)
        model(frames().float())
        first = list(casts)
        model(frames().float())
    again = casts[len(first) :]
    assert first.count((32, 8)) == first.count((8, 32)) == 1
    assert (32, 8) not in again
    assert again.count((4, 8)) == first.count((4, 8)) == 1
