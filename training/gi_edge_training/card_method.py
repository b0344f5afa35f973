"""What a model card says of the method: what was trained, and how to load it elsewhere."""

from __future__ import annotations

from gi_edge.artifacts.adapter import WEIGHTS_FILES, AdapterManifest, method_words
from gi_edge.modeling.architecture import EMBEDDED, EMBEDDED_BASE, EMBEDDED_SHAPE


def library_of(manifest: AdapterManifest) -> str:
    """Return the library that loads the weights, by its name on the Hugging Face hub."""
    return "peft" if manifest.method == "lora" else "timm"


def tags_of(manifest: AdapterManifest) -> tuple[str, ...]:
    """Return the tags of a card."""
    architecture = manifest.backbone.architecture
    family = "convnextv2" if architecture == EMBEDDED else architecture.partition("_")[0]
    return ("endoscopy", manifest.method, family, "gi-edge")


def what_was_trained(manifest: AdapterManifest) -> str:
    """Return two sentences: what this is, and its count."""
    config, backbone = manifest.config, f"{manifest.backbone.architecture}, weights {manifest.backbone.weights}"
    words = method_words(manifest.method, config)
    kind = {
        "full": f"Full fine-tuning of {backbone}: every weight was trained from there.",
        "probe": f"Linear probe: the classifier on {backbone}, frozen.",
    }.get(manifest.method) or f"{words} adapter (alpha {config['alpha']:g}) and classifier for {backbone}, frozen."
    share = manifest.trainable_weights / manifest.total_weights
    return f"{kind}\n{manifest.trainable_weights:,} of {manifest.total_weights:,} weights were trained ({share:.2%})."


def use_words(manifest: AdapterManifest) -> str:
    """Return the code that loads it without gi-edge."""
    return f"```python\n{_code(manifest)}\n```"


def _code(manifest: AdapterManifest) -> str:
    architecture = manifest.backbone.architecture
    embedded = architecture == EMBEDDED
    shape = "".join(f", {key}={value}" for key, value in EMBEDDED_SHAPE.items()) if embedded else ""
    name = EMBEDDED_BASE if embedded else architecture
    lines = [f'model = timm.create_model("{name}", num_classes={len(manifest.classes)}{shape})']
    base = f"# its base weights first: {manifest.backbone.weights}, all but the classifier"
    file = f"{manifest.name}/{WEIGHTS_FILES[manifest.method]}"
    if manifest.method == "lora":
        load = [base, f'model = PeftModel.from_pretrained(model, "{manifest.name}")']
        head = ["import timm", "from peft import PeftModel"]
    else:
        head = ["import timm", "from safetensors.torch import load_file"]
        if manifest.method == "full":
            load = [f'model.load_state_dict(load_file("{file}"))']
        else:
            load = [base, f'model.load_state_dict(load_file("{file}"), strict=False)']
    return "\n".join([*head, *lines, *load])
