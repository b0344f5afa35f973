"""LoRA, full fine-tuning and linear probe on the same frames: the paper's claim made checkable. No part of the package.

    python bench/studies/methods.py --workspace DIR --data hyperkvasir-5=DIR --data wce-bleeding=DIR --weights FILE

Every number comes from the commands that a user types; they are in the result. Per data set one split, grouped as
`gi-edge data split` groups by default; per method the learning rate of the higher validation macro-F1 on the first seed
of the first data set; then every data set and seed trained with it, and the methods compared on the same test frames.
Adapters that are there already are kept, so that a stopped study goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import Commands, write_workspace

from gi_edge_bench.environment import environment_now

RATES = {"lora": (1e-3, 3e-3), "full": (1e-4, 3e-4), "probe": (3e-3, 1e-2)}
SCORES = ("macro_f1", "accuracy", "mcc")


@dataclass
class Study:
    """The methods compared in one workspace."""

    commands: Commands
    common: list[str]
    """Options of every training."""

    @property
    def workspace(self) -> Path:
        """Where adapters and splits go."""
        return self.commands.workspace

    def train(self, dataset: str, method: str, rate: float, seed: int) -> dict[str, Any]:
        """Train an adapter unless it is there; return its manifest."""
        name = f"{dataset}-{method}-{rate:g}-seed{seed}"
        words = ["train", "--dataset", dataset, "--split", f"splits/{dataset}.csv", "--name", name]
        words += ["--set", f"method={method}", "--learning-rate", f"{rate:g}", "--seed", str(seed), *self.common]
        manifest = self.workspace / "adapters" / name / "manifest.json"
        self.commands.gi_edge_unless(manifest, *words, "--force")
        found: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        return found

    def split(self, dataset: str) -> None:
        """Make the split of a data set unless it is there."""
        self.commands.gi_edge_unless(
            self.workspace / "splits" / f"{dataset}.csv", "data", "split", "--dataset", dataset
        )

    def tried_rates(self, dataset: str, seed: int) -> dict[str, dict[float, float]]:
        """Return the validation macro-F1 of every method and learning rate."""
        self.split(dataset)
        return {
            method: {rate: best_val(self.train(dataset, method, rate, seed)) for rate in rates}
            for method, rates in RATES.items()
        }

    def of_dataset(self, dataset: str, chosen: dict[str, float], seeds: list[int]) -> dict[str, Any]:
        """Train all seeds at the chosen rates and compare the methods seed by seed."""
        self.split(dataset)
        comparisons = []
        for seed in seeds:
            names = [self.train(dataset, method, rate, seed)["name"] for method, rate in chosen.items()]
            comparisons.append(slim(json.loads(self.commands.gi_edge("compare", *names, "--json"))))
        return {"dataset": dataset, "seeds": seeds, "comparisons": comparisons}


def best_val(manifest: dict[str, Any]) -> float:
    """Return the validation macro-F1 of an adapter's best epoch."""
    return max(float(record["val_macro_f1"]) for record in manifest["history"])


def slim(comparison: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison without the per-class part of its evaluations."""
    kept = []
    for adapter in comparison["adapters"]:
        evaluation = adapter.pop("evaluation")
        scores = {score: evaluation["overall"][score] for score in SCORES}
        kept.append({**adapter, "n": evaluation["n"], "baselines": evaluation["baselines"], "scores": scores})
    return {**comparison, "adapters": kept}


def rows_of(study: dict[str, Any]) -> Iterator[str]:
    """Yield the Markdown rows of one data set: the mean over the seeds, each seed, and the difference to LoRA."""
    by_method = zip(*(item["adapters"] for item in study["comparisons"]), strict=True)
    for adapters in by_method:
        first = adapters[0]
        scores = [adapter["scores"]["macro_f1"] for adapter in adapters]
        mean = statistics.mean(score["value"] for score in scores)
        seconds = [adapter["train_seconds"] for adapter in adapters]
        differences = [adapter["differences"].get("macro_f1") for adapter in adapters]
        yield (
            f"| {study['dataset']} | {first['shape']} | {first['trainable_weights']:,} "
            f"| {first['size_bytes'] / 1e6:.2f} | {statistics.mean(seconds):.0f} "
            f"| {max(adapter['peak_memory_bytes'] for adapter in adapters) / 1e9:.1f} "
            f"| {mean:.3f} | {', '.join(_interval(score) for score in scores)} "
            f"| {', '.join(_difference(item) for item in differences if item) or '–'} |"
        )


def _interval(score: dict[str, Any]) -> str:
    interval = score["interval"]
    return f"{score['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def _difference(item: dict[str, Any]) -> str:
    interval = item["interval"]
    return f"{item['difference']:+.3f} ({interval['low']:+.3f} to {interval['high']:+.3f})"


def main() -> None:
    """Run the study and write JSON, and a table beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True, help="folder for splits and adapters")
    parser.add_argument("--data", action="append", required=True, metavar="NAME=DIR", help="data set, class per folder")
    parser.add_argument("--weights", type=Path, required=True, help="base weights of the backbone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--output", type=Path, required=True, help="JSON file; the table goes beside it as .md")
    given = parser.parse_args()
    names = write_workspace(given.workspace, given.data, given.weights)
    options = ["--image-size", str(given.image_size), "--epochs", str(given.epochs)]
    study = Study(Commands(given.workspace), options)
    tried = study.tried_rates(names[0], seed=0)
    chosen = {method: max(rates, key=lambda rate: rates[rate]) for method, rates in tried.items()}
    found = [study.of_dataset(name, chosen, list(range(given.seeds))) for name in names]
    result = {
        "environment": environment_now().model_dump(mode="json"),
        "base_weights": given.weights.name,
        "validation_macro_f1_by_rate": {
            method: {f"{rate:g}": score for rate, score in rates.items()} for method, rates in tried.items()
        },
        "chosen_rate": chosen,
        "commands": list(dict.fromkeys(study.commands.ran)),
        "datasets": found,
    }
    given.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    head = ("data", "method", "trained weights", "on disk, MB", "training, s", "peak memory, GB", "macro-F1, mean")
    head = (*head, "macro-F1 per seed (95 %)", "paired difference to the first, per seed (95 %)")
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(row for item in found for row in rows_of(item))]
    given.output.with_suffix(".md").write_text("\n".join(table) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
