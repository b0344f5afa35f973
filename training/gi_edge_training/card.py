"""The model card that an adapter carries."""

from __future__ import annotations

from gi_edge.artifacts.adapter import AdapterManifest
from gi_edge.metrics.classification import Classification


def card_from_manifest(manifest: AdapterManifest) -> str:
    """Return the README.md of an adapter: what it is, what it scored, what it does not show."""
    scores = manifest.test
    settings = manifest.config
    return f"""---
library_name: peft
tags: [endoscopy, lora, convnextv2, gi-edge]
---

# {manifest.name}

LoRA adapter (rank {settings["rank"]}, alpha {settings["alpha"]:g}) and classifier for
{manifest.backbone.architecture}, weights {manifest.backbone.weights}, frozen.
{manifest.trainable_weights:,} of {manifest.total_weights:,} weights were trained.

Research use. Not a medical device; no clinical claim is made.

| | |
|---|---|
| Classes, in the order of the logits | {", ".join(manifest.classes)} |
| Data | {manifest.dataset.name}, {manifest.dataset.frames} frames, {len(manifest.dataset.unreadable)} unreadable |
| Licence of the data | {manifest.dataset.licence} |
| Licence of the base weights | {manifest.backbone.licence} |
| Input | {manifest.preprocess.size_px} × {manifest.preprocess.size_px} px RGB, {manifest.preprocess.fit} |
| Train / validation / test | {manifest.split.train} / {manifest.split.val} / {manifest.split.test} frames |

{manifest.split.caution}

## Scores on the test part (n = {scores.n})

{_score_rows(scores)}

The majority baseline always answers "{scores.majority_label}", the most frequent class of the training part.

{_class_rows(scores)}

## Use

```python
from peft import PeftModel
# base_model: timm's {manifest.backbone.architecture} with these base weights
model = PeftModel.from_pretrained(base_model, "{manifest.name}")
```

or `gi-edge export --adapter {manifest.name}`.
"""


def _score_rows(scores: Classification) -> str:
    rows = [
        "| score | model | majority baseline |",
        "|---|---|---|",
        f"| macro-F1 | {scores.macro.f1:.3f} | {scores.majority_macro_f1:.3f} |",
        f"| accuracy | {scores.accuracy:.3f} | {scores.majority_accuracy:.3f} |",
        f"| macro precision / recall | {scores.macro.precision:.3f} / {scores.macro.recall:.3f} | |",
        f"| weighted precision / recall / F1 | {scores.weighted.precision:.3f} / {scores.weighted.recall:.3f} / "
        f"{scores.weighted.f1:.3f} | |",
        f"| MCC | {scores.mcc:.3f} | 0 |",
    ]
    return "\n".join(rows)


def _class_rows(scores: Classification) -> str:
    rows = ["| class | frames | precision | recall | F1 |", "|---|---|---|---|---|"]
    rows += [
        f"| {item.label} | {item.support} | {item.precision:.3f} | {item.recall:.3f} | {item.f1:.3f} |"
        for item in scores.classes
    ]
    return "\n".join(rows)
