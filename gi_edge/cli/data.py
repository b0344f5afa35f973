"""gi-edge data: check, split, audit, cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gi_edge.cli import data_cache
from gi_edge.cli.options import data_options, force_option

if TYPE_CHECKING:
    from gi_edge.data.audit import SplitAudit
    from gi_edge.data.check import Finding
    from gi_edge.data.index import Index
    from gi_edge.data.split import Split
    from gi_edge.progress import Progress
    from gi_edge.workspace import DatasetEntry, Workspace

_CHOSEN = ("dataset", "data", "spec", "exclude")


@click.group()
def command() -> None:
    """Look at datasets before anything is trained: their files, their splits, and what leaks between the parts."""


command.add_command(data_cache.command, "cache")


@command.command()
@data_options
@click.option("--strict", is_flag=True, help="Exit 3 if a frame has an error.")
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON lines, one per dataset.")
def check(**given: Any) -> None:  # noqa: ANN401
    """Decode every frame and report what is broken, odd, copied or labelled twice. Nothing is modified."""
    from gi_edge.cli.console import ConsoleProgress, print_text, workspace
    from gi_edge.cli.datasets import chosen_datasets
    from gi_edge.data.check import check_dataset, is_usable, lines_from_check
    from gi_edge.errors import GateError

    progress, broken = ConsoleProgress(), []
    for name, entry in chosen_datasets(workspace(), **{key: given[key] for key in _CHOSEN}).items():
        index, unknown = _index_to_check(name, entry)
        checked = check_dataset(index, progress)
        found = checked.model_copy(update={"findings": (*unknown, *checked.findings)})
        print_text(found.model_dump_json() if given["as_json"] else "\n".join(lines_from_check(found)))
        broken += [] if is_usable(found) else [name]
    if broken and given["strict"]:
        raise GateError(f"frames with errors in {', '.join(broken)}", fix="mend or remove the files named above")


@command.command()
@data_options
@click.option(
    "--split-by",
    "by",
    type=click.Choice(["auto", "group", "cluster", "frame"]),
    help="What stays together; auto, unless given: video or patient where known, else near-duplicate clusters.",
)
@click.option("--folds", type=int, help="Make so many splits, each fold testing once, instead of one.")
@click.option("--official", type=click.Path(path_type=Path), help="Folder of the authors' split files, to follow them.")
@click.option("--holdout-fraction", type=float, help="Share of the validation and of the test part, each.")
@click.option("--seed", type=int, help="Equal seeds and frames give equal splits.")
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print file, fingerprint, kind and counts as JSON lines.")
def split(**given: Any) -> None:  # noqa: ANN401
    """Write splits/NAME.csv: which frames train, validate and test, videos, patients or near-duplicates together."""
    from gi_edge.cli.console import ConsoleProgress, workspace
    from gi_edge.cli.datasets import chosen_datasets
    from gi_edge.config import value_from_mapping
    from gi_edge.data.make_split import splits_from_index
    from gi_edge.data.partition import SplitSettings
    from gi_edge.data.split import csv_from_split
    from gi_edge.files import check_writable, write_atomic

    if given["official"] and given["folds"]:
        raise click.UsageError("--official says which folds there are; leave --folds out")
    place, progress = workspace(), ConsoleProgress()
    values = {key: given[key] for key in SplitSettings.model_fields if given[key] is not None}
    settings = value_from_mapping(SplitSettings, values, source="the split options")
    for name, entry in chosen_datasets(place, **{key: given[key] for key in _CHOSEN}).items():
        index = _index(name, entry)
        endings = [f"-fold-{fold}" for fold in range(settings.folds)] or [""]
        for ending in [] if given["official"] else endings:  # before near-duplicates are sought, which takes long
            check_writable(place.root / "splits" / f"{name}{ending}.csv", force=given["force"], other="--dataset NAME")
        made = splits_from_index(index, settings, progress, given["official"], entry.exclude)
        files = {place.root / "splits" / f"{name}{ending}.csv": split for ending, split in made.splits.items()}
        for path in files:
            check_writable(path, force=given["force"], other="--dataset NAME")
        for note in made.notes:
            progress.say(note)
        for path, one in files.items():
            write_atomic(path, csv_from_split(one))
            _tell_split(path, one, progress, as_json=given["as_json"])
        progress.say(f"next: gi-edge data audit --dataset {name} --split {_shown(next(iter(files)))}")


@command.command()
@data_options
@click.option("--split", "split_file", type=click.Path(path_type=Path), help="A split of gi-edge data split.")
@click.option(
    "--split-files",
    is_flag=True,
    help="FILES are CSVs with file and label, one per part: the first trains, the last tests. Or one with all parts.",
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--names-only", is_flag=True, help="Read no image: near-duplicates are not sought.")
@click.option("--strict", is_flag=True, help="Exit 3 if the test part shares groups, files or near-copies.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Audit file, .json; reports/audit-SPLIT.json unless given."
)
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the audit as JSON instead of the tables.")
def audit(**given: Any) -> None:  # noqa: ANN401
    """Say what a score on a split can and cannot show: what its parts share, and what pixel-free rules score on it.

    Give a dataset with --split FILE, or with --split-files the CSVs of an official split and --spec; then no image
    is needed. Writes JSON and, with the report extra, a page.
    """
    from gi_edge.cli.console import ConsoleProgress, workspace
    from gi_edge.cli.datasets import chosen_datasets

    if bool(given["files"]) != given["split_files"] or (given["split_file"] and given["files"]):
        raise click.UsageError("give --split FILE, or --split-files FILE FILE [FILE …]")
    place, progress = workspace(), ConsoleProgress()
    if given["split_files"]:
        _report_audit(
            place, "-".join(path.stem for path in given["files"]), *_audit_of_files(place, given), given, progress
        )
        return
    chosen = chosen_datasets(place, **{key: given[key] for key in _CHOSEN})
    if len(chosen) > 1 and (given["split_file"] or given["output"]):
        raise click.UsageError(
            f"--split and --output fit one dataset, but {len(chosen)} are chosen; add --dataset NAME"
        )
    for name, entry in chosen.items():
        path = given["split_file"] or entry.split or place.root / "splits" / f"{name}.csv"
        _audit_file(place, path.stem, given)  # refused now, before the images are read
        _report_audit(place, path.stem, *_audit_of_split(name, entry, path, given, progress), given, progress)


def _index(name: str, entry: DatasetEntry) -> Index:
    from gi_edge.data.index import index_from_folder
    from gi_edge.data.spec import read_spec

    return index_from_folder(name, entry.path, read_spec(entry.spec), entry.exclude)


def _index_to_check(name: str, entry: DatasetEntry) -> tuple[Index, tuple[Finding, ...]]:
    """Return the index without the folders that are no class of the spec, and these as findings."""
    from gi_edge.data.check import Finding
    from gi_edge.data.layout import UnknownClassError

    try:
        return _index(name, entry), ()
    except UnknownClassError as error:
        detail = f"no class of spec '{entry.spec}': training refuses it; rename it, or --exclude it"
        findings = (
            Finding(kind="unknown-class", severity="error", frame=folder, detail=detail) for folder in error.names
        )
        left_out = entry.model_copy(update={"exclude": (*entry.exclude, *error.names)})
        return _index(name, left_out), tuple(findings)


def _shown(path: Path) -> str:
    from gi_edge.cli.console import shown_path

    return shown_path(path)


def _tell_split(path: Path, split: Split, progress: Progress, *, as_json: bool) -> None:
    import json

    from gi_edge.cli.console import print_text

    counts = split.counts()
    if as_json:
        fields = {"file": _shown(path), "fingerprint": split.fingerprint, "kind": split.kind, "caution": split.caution}
        print_text(json.dumps({**fields, **counts}))
    else:
        parts = ", ".join(f"{part} {count:,}" for part, count in counts.items())
        print_text(f"{_shown(path)}: {parts}; fingerprint {split.fingerprint[:12]}\n  {split.caution}")


def _audit_of_files(place: Workspace, given: dict[str, Any]) -> tuple[SplitAudit, None]:
    from gi_edge.data.audit import audit_rows
    from gi_edge.data.audit_rows import rows_from_csv, train_and_test
    from gi_edge.data.spec import read_spec
    from gi_edge.data.split import CLUSTER_NOUN, are_clusters

    spec = read_spec(given["spec"] or (place.dataset(given["dataset"]).spec if given["dataset"] else "csv"))
    files, parts = given["files"], [path.stem for path in given["files"]]
    if len(set(parts)) < len(parts):
        raise click.UsageError("--split-files needs CSVs of different names, or one CSV with a part or fold column")
    if len(files) == 1:
        rows = rows_from_csv(files[0], spec)
        train, test = train_and_test(rows)
    else:
        rows = tuple(row for path, part in zip(files, parts, strict=True) for row in rows_from_csv(path, spec, part))
        train, test = parts[0], parts[-1]
    groups = {row.group for row in rows if row.group is not None}
    noun = CLUSTER_NOUN if groups and are_clusters(groups) else spec.group_noun
    return audit_rows(rows, train=train, test=test, group_noun=noun), None


def _audit_of_split(
    name: str, entry: DatasetEntry, path: Path, given: dict[str, Any], progress: Progress
) -> tuple[SplitAudit, dict[str, Path] | None]:
    """Return the audit, and the image files by frame id where they were read."""
    from gi_edge.data.audit import audit_rows
    from gi_edge.data.audit_images import near_pairs_across_parts
    from gi_edge.data.audit_rows import rows_from_split
    from gi_edge.data.spec import read_spec
    from gi_edge.data.split import CLUSTER_NOUN
    from gi_edge.data.subset import index_of_split, read_split

    spec = read_spec(entry.spec)
    split = read_split(path, group_noun=spec.group_noun)
    near, paths, index = None, None, None
    if not given["names_only"] or entry.path.is_dir():
        index = index_of_split(_index(name, entry), split, str(path))
    if index is not None and not given["names_only"]:
        part_of = {row.frame: str(row.part) for row in split.rows}
        near = near_pairs_across_parts(index.frames, part_of, progress, f"near-duplicates {name}")
        paths = {frame.id: frame.path for frame in index.frames}
    noun = split.group_noun if split.group_noun == CLUSTER_NOUN else spec.group_noun
    rows = rows_from_split(split, spec, index)
    audit = audit_rows(rows, train="train", test="test", near_duplicates=near, group_noun=noun)
    return audit, paths


def _audit_file(place: Workspace, name: str, given: dict[str, Any]) -> Path:
    """Return where an audit goes. Raises: ArtifactError if that exists and --force is not given."""
    from gi_edge.cli.outputs import check_output_file

    output: Path = given["output"] or place.root / "reports" / f"audit-{name}.json"
    if output.suffix != ".json":
        raise click.UsageError(f"--output is a .json file, the page lies beside it; found {output}")
    page = output.with_suffix(".html")
    check_output_file(output, force=given["force"], kinds=("split-audit",), beside=(page,))
    return output


def _report_audit(
    place: Workspace,
    name: str,
    audit: SplitAudit,
    paths: dict[str, Path] | None,
    given: dict[str, Any],
    progress: Progress,
) -> None:
    from gi_edge.cli.console import print_text
    from gi_edge.config import json_from_value
    from gi_edge.errors import GateError, MissingDependencyError
    from gi_edge.files import write_atomic
    from gi_edge.report.audit_text import lines_from_audit

    output = _audit_file(place, name, given)
    write_atomic(output, json_from_value(audit))
    print_text(audit.model_dump_json() if given["as_json"] else "\n".join(lines_from_audit(audit)))
    progress.say(f"wrote {_shown(output)}")
    try:
        progress.say(f"wrote {_shown(_audit_page(output, name, audit, paths))}")
    except MissingDependencyError as error:
        progress.say(f"no page: {error.message}. Then: {error.fix}")
    if audit.leaks and given["strict"]:
        raise GateError(
            f"{name}: {audit.verdict.rstrip('.')}", fix="gi-edge data split (by video, patient or near-duplicates)"
        )


def _audit_page(output: Path, name: str, audit: SplitAudit, paths: dict[str, Path] | None) -> Path:
    from gi_edge.deps import extra
    from gi_edge.files import write_atomic

    with extra("report"):
        from gi_edge.report.audit_page import page_from_audit
        from gi_edge.report.sheets import sheet_from_pairs
    shown = audit.near_duplicates[:24] if audit.near_duplicates and paths else ()
    sheet = sheet_from_pairs(shown, paths or {}, columns=3, tile_px=360) if shown else None
    page = output.with_suffix(".html")
    write_atomic(page, page_from_audit(audit, title=name, sheet=sheet))
    return page
