"""Which frames a bundle is compared on: the best that are here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gi_edge.workspace import Workspace
    from gi_edge_bench.config import BenchTarget


def target_of(place: Workspace, folder: Path, data: Path | None, *, labelled: bool = False) -> BenchTarget:
    """Take the dataset where it is given or the workspace has it, else packed frames, else probe images.

    labelled: whether frames without labels do not serve. Raises: ConfigError if then there are none.
    """
    from gi_edge.artifacts.bundle import read_bundle
    from gi_edge.artifacts.probes import has_probes
    from gi_edge.cli.datasets import data_folder
    from gi_edge_bench.config import BenchTarget

    bundle = read_bundle(folder)
    name = bundle.manifest.dataset.name
    if data is not None or (name in place.datasets and place.datasets[name].path.is_dir()):
        return BenchTarget(bundle=folder, frames="dataset", data=data_folder(place, name, data))
    if bundle.manifest.samples:
        return BenchTarget(bundle=folder, frames="samples")
    if labelled or not has_probes(bundle):
        return BenchTarget(bundle=folder, frames="dataset", data=data_folder(place, name, data))
    return BenchTarget(bundle=folder, frames="probes")
