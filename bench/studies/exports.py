"""Real frames exported in every precision, with the verdicts as they come. No part of the package.

    python bench/studies/exports.py --workspace DIR --data hyperkvasir-5=DIR --data wce-bleeding=DIR --weights FILE \\
        --output bench/results/exports.json

Trains one LoRA adapter per data set unless it is there, exports it in fp32, fp16, bf16 and both dialects of int8 with
engines for RTX GPUs in fp16, and writes what the bundles say: verdicts, headroom, what int8 kept, sizes, commands.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from commands import Commands, write_workspace

from gi_edge.artifacts.bundle import Bundle, ModelEntry, read_bundle
from gi_edge.artifacts.engine import read_engines
from gi_edge_bench.environment import environment_now

TRAINING = ("--image-size", "160", "--epochs", "6", "--learning-rate", "3e-3", "--seed", "0")
EXPORT = ("--fp16", "--bf16", "--int8", "--int8-target", "both", "--allow-undecided")
SMS = "86,89,120"
"""RTX 30, 40 and 50."""


def model_row(bundle: Bundle, entry: ModelEntry) -> dict[str, Any]:
    """Return what a bundle says of one model file."""
    verdict = entry.verdict
    checks = {check.name: check for check in verdict.checks}
    return {
        "file": entry.path,
        "bytes": (bundle.path / entry.path).stat().st_size,
        "verdict": verdict.status,
        "reasons": verdict.reasons,
        "computed_by": verdict.computed_by,
        "computes_precision": verdict.computes_precision,
        "frames": verdict.parity.n,
        "flips": verdict.parity.flips,
        "flip_rate_upper95": verdict.parity.flip_rate_upper95,
        "max_abs_error": verdict.parity.max_abs_error,
        "macro_f1": checks["macro_f1"].model_dump(mode="json") if "macro_f1" in checks else None,
        "quantisation": entry.quantisation.model_dump(mode="json") if entry.quantisation else None,
    }


def bundle_row(bundle: Bundle) -> dict[str, Any]:
    """Return what a bundle and its engines say."""
    headroom = bundle.manifest.headroom
    return {
        "dataset": bundle.manifest.name,
        "merge_max_abs_error": bundle.manifest.merge.max_abs_error,
        "headroom": headroom and {"frames": headroom.frames, "tightest": headroom.tightest.model_dump(mode="json")},
        "models": [model_row(bundle, entry) for entry in bundle.manifest.models],
        "engines": [engine.entry.model_dump(mode="json") for engine in read_engines(bundle)],
    }


def table_of(rows: list[dict[str, Any]]) -> str:
    """Return the Markdown table."""
    head = ("data", "file", "MB", "verdict", "changed class", "at most (95 %)", "logits", "why open")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        for model in row["models"]:
            cells = (
                row["dataset"],
                model["file"],
                f"{model['bytes'] / 1e6:.1f}",
                model["verdict"],
                f"{model['flips']} of {model['frames']}",
                f"{model['flip_rate_upper95']:.1%}",
                f"{model['max_abs_error']:.1e}",
                "; ".join(reason.partition(": ")[0] for reason in model["reasons"]) or "–",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the study and write JSON, and a table beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True, help="folder for adapters and bundles")
    parser.add_argument("--data", action="append", required=True, metavar="NAME=DIR", help="data set, class per folder")
    parser.add_argument("--weights", type=Path, required=True, help="base weights of the backbone")
    parser.add_argument("--output", type=Path, required=True, help="JSON file; the table goes beside it as .md")
    given = parser.parse_args()
    names = write_workspace(given.workspace, given.data, given.weights)
    commands = Commands(given.workspace)
    rows = []
    for name in names:
        commands.gi_edge_unless(given.workspace / "adapters" / name, "train", "--dataset", name, *TRAINING)
        commands.gi_edge("export", "--adapter", name, *EXPORT, "--force")
        commands.gi_edge("engine", name, "--precision", "fp16", "--runtime", "tensorrt-rtx", "--sm", SMS)
        rows.append(bundle_row(read_bundle(given.workspace / "bundles" / name)))
    environment = environment_now().model_dump(mode="json")
    report = {"environment": environment, "base_weights": given.weights.name, "commands": commands.ran, "bundles": rows}
    given.output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    given.output.with_suffix(".md").write_text(table_of(rows), encoding="utf-8")
    sys.stdout.write(table_of(rows))


if __name__ == "__main__":
    main()
