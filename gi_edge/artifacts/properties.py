"""What a model file says of itself in its metadata: written at export, held against the manifest when opened."""

from __future__ import annotations

import json

from gi_edge.artifacts.manifest import Manifest
from gi_edge.metrics.parity import Precision


def model_properties(manifest: Manifest, adapter_sha256: str, precision: Precision) -> dict[str, str]:
    """Return the properties of a model file. manifest: of its adapter or of its bundle, which say the same here."""
    return {
        "gi_edge.precision": precision,
        "gi_edge.classes": json.dumps(manifest.classes),
        "gi_edge.temperature": repr(manifest.temperature),
        "gi_edge.preprocess": json.dumps(manifest.preprocess.model_dump(mode="json")),
        "gi_edge.backbone_licence": manifest.backbone.licence,
        "gi_edge.dataset_licence": manifest.dataset.licence,
        "gi_edge.backbone_sha256": manifest.backbone.weights_sha256,
        "gi_edge.adapter_sha256": adapter_sha256,
    }
