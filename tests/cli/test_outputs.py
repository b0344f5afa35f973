"""Which files the verbs refuse to write before they do any work, and which --force replaces."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from gi_edge.cli.console import print_table
from gi_edge.cli.outputs import check_output_file
from gi_edge.errors import ArtifactError
from gi_edge.files import atomic_folder, check_writable, write_atomic

FULL = Path("/dev/full")
BENCH = ("bench-result",)
OURS, OTHER = '{"kind": "bench-result"}', '{"kind": "comparison"}'
EXISTING = {
    "a result without force": ("r.json", OURS, {"force": False, "kinds": BENCH}, "exists already → add --force"),
    "a result": ("r.json", OURS, {"kinds": BENCH}, None),
    "an empty file": ("r.json", "", {"kinds": BENCH}, None),
    "another kind": ("r.json", OTHER, {"kinds": BENCH}, "is no bench-result of gi-edge, so that not even --force"),
    "another kind without force": ("r.json", OTHER, {"force": False, "kinds": BENCH}, "not even --force"),
    "somebody's settings": ("r.json", '{"a": 1}', {"kinds": BENCH}, "is no bench-result of gi-edge"),
    "somebody's list": ("r.json", '["kind"]', {"kinds": BENCH}, "is no bench-result of gi-edge"),
    "somebody's words": ("r.json", "bench-result", {"kinds": BENCH}, "is no bench-result of gi-edge"),
    "no text": ("r.json", "\udcff", {"kinds": BENCH}, "is no bench-result of gi-edge"),
    "what predict replaces": ("r.json", "bench-result", {}, None),
    "a page without force": ("r.html", "<p>mine", {"force": False, "kinds": BENCH}, "r.html exists already → add"),
    "a page": ("r.html", "<p>mine", {"kinds": BENCH}, None),
}


@pytest.mark.parametrize("case", EXISTING)
def test_what_exists_is_replaced_with_force_if_it_is_of_the_kind(tmp_path, case):
    name, content, given, found = EXISTING[case]
    (tmp_path / name).write_text(content, errors="surrogateescape")
    given = {"force": True, "beside": (tmp_path / "r.html",)} | given
    if found is None:
        check_output_file(tmp_path / "r.json", **given)
        return
    with pytest.raises(ArtifactError) as caught:
        check_output_file(tmp_path / "r.json", **given)
    assert found in str(caught.value)


@pytest.mark.parametrize("name", ["r.json", "r.html"])
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ArtifactError, match=f"{name} is a folder"):
        check_output_file(tmp_path / "r.json", force=True, beside=(tmp_path / "r.html",))


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        ("manifest.json", "adapter"),
        ("manifest.json", "bundle"),
        ("evaluation.json", "evaluation"),
        ("engine.json", "engine"),
    ],
)
@pytest.mark.parametrize("below", ["r.json", "deep/deeper/r.json"])
def test_nothing_is_written_into_an_artefact(tmp_path, mark, kind, below):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / mark).write_text(json.dumps({"kind": kind}))
    (tmp_path / "link").symlink_to(tmp_path / "made")
    for folder in ("made", "link"):
        with pytest.raises(ArtifactError, match=r"would lie in .*/made, which gi-edge made"):
            check_output_file(tmp_path / folder / below, force=True)
    check_output_file(tmp_path / below, force=True)


@pytest.mark.parametrize("name", ["/proc/x.json", "/proc/deep/x.json", "/sys/x.json", "file/x.json", "no/deep/x.json"])
def test_a_place_that_refuses_is_found_before_any_work_and_told_if_it_was_not(tmp_path, monkeypatch, name):
    (tmp_path / "file").write_text("")
    refused = tmp_path / name
    if not refused.is_relative_to(tmp_path) and not refused.parents[-2].is_dir():
        pytest.skip(f"needs {refused.parents[-2]}")
    if name.startswith("no/"):  # root may write into any folder of this machine

        def denied(dir):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(dir))

        monkeypatch.setattr("tempfile.TemporaryFile", denied)
    else:
        with pytest.raises(ArtifactError, match=f"^cannot write {refused}: "):
            write_atomic(refused, "text")
    for check in (check_output_file, check_writable):
        with pytest.raises(ArtifactError, match=f"^cannot write {refused}: "):
            check(refused, force=True)


def test_a_file_to_be_read_that_is_gone_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "out" / "made"):
        (tmp_path / "frames" / "gone.jpg").read_bytes()


def test_a_manifest_of_another_program_keeps_nobody_out(tmp_path):
    (tmp_path / "manifest.json").write_text('{"manifest_version": 3}')
    check_output_file(tmp_path / "r.json", force=False)


def test_the_verbs_hold_to_it_before_they_work(workspace, gi_edge, tmp_path):
    bundle, frame = workspace / "bundles" / "lesions", workspace / "data" / "lesions" / "red lesion" / "000.jpg"
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    for words in (("bench", bundle), ("predict", bundle, frame), ("compare", "lesions", "lesions")):
        for name in ("manifest.json", "new.json"):
            done = gi_edge(*words, "--output", bundle / name, "--force", cwd=workspace)
            assert (done.code, "would lie in" in done.err) == (1, True), done.err
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    (tmp_path / "r.html").write_text("mine")
    done = gi_edge("bench", bundle, "--output", tmp_path / "r.json", cwd=workspace)
    assert (done.code, "r.html exists already. To mend: add --force" in done.err) == (1, True)
    for words in (("bench", bundle), ("predict", bundle, frame), ("compare", "lesions", "lesions")):
        done = gi_edge(*words, "--output", "/proc/x.json", cwd=workspace)
        assert (done.code, len(done.err.splitlines())) == (1, 1)
        assert done.err.startswith("error: cannot write /proc/x.json: ")
    (tmp_path / "package.json").write_text("{}")
    for words in (("bench", bundle), ("compare", "lesions", "lesions")):
        done = gi_edge(*words, "--output", tmp_path / "package.json", "--force", cwd=workspace)
        assert (done.code, "not even --force replaces it" in done.err) == (1, True), done.err


def test_a_comparison_replaces_none_of_its_results(gi_edge, tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(OURS)
    done = gi_edge("compare", "a.json", "b.json", "--output", tmp_path / "a.json", "--force", cwd=tmp_path)
    assert done.code == 1
    assert "a.json is one of the files to be read. To mend: --output FILE.json for another" in done.err
    assert (tmp_path / "a.json").read_text() == OURS


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_table_to_a_full_disk_is_one_line(tmp_path):
    code = "from rich.table import Table; from gi_edge.cli import console, main"
    code += "; main.cli = lambda standalone_mode: console.print_table(Table('a')); main.main()"
    with FULL.open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert done.stderr.startswith("error: cannot write to stdout: No space left on device. To mend: ")


def test_without_a_stdout_there_is_no_terminal(workspace, gi_edge, monkeypatch):
    frame = workspace / "data" / "lesions" / "red lesion" / "000.jpg"
    monkeypatch.setattr(sys, "stdout", None)
    print_table(Table("a"))
    done = gi_edge("predict", "lesions", frame, "--json", "--provider", "cpu", cwd=workspace)
    assert (done.code, done.out, done.err) == (0, "", "")
