"""The house rules that a machine can keep."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from gi_edge.cli.main import cli

ROOT = Path(__file__).parents[1]
SOURCES = [
    path for top in ("gi_edge", "training", "export", "bench", "tests") for path in sorted((ROOT / top).rglob("*.py"))
]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / top / "README.md" for top in ("training", "export", "bench")),
]


def commands(group: click.Group = cli, prefix: str = "") -> dict[str, click.Command]:
    """Every command by the words that call it, such as "data check"; groups are left out."""
    context = click.Context(group)
    found: dict[str, click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = command
    return found


@pytest.mark.parametrize("path", [path for path in SOURCES if "tests" not in path.parts], ids=str)
def test_files_stay_small(path):
    lines = path.read_text().count("\n")
    assert lines <= 300
    if path.name == "__init__.py":
        assert lines == 0


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_is_explained(name):
    command = commands()[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name != "help":
            assert parameter.help or parameter.show_default, parameter.name


def documented_lines() -> list[tuple[str, str]]:
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"```(?:console|bash|sh)?\n(.*?)```", document.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                text = line.removeprefix("$ ").partition("  #")[0].strip()
                if text.startswith("gi-edge "):
                    found.append((document.name, text))
    return found


@pytest.mark.parametrize(("document", "line"), documented_lines())
def test_every_documented_command_parses(document, line):
    words = shlex.split(line)[1:]
    if words[0].startswith("-"):
        return
    known = commands()
    name = next(name for name in (" ".join(words[:2]), words[0]) if name in known)
    known[name].make_context(name, words[len(name.split()) :], resilient_parsing=False)


def test_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text()
    for name in commands():
        assert f"gi-edge {name}" in text, name


def test_the_changelog_has_the_version_of_the_package():
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def test_constraints_pin_every_dependency_and_name_no_host():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    pinned = {re.split(r"[=\s;]", line)[0] for line in text.splitlines() if "==" in line}
    project = (ROOT / "pyproject.toml").read_text()
    table = project.partition("dependencies = [")[2].partition("[project.scripts]")[0]
    needed = {match.lower() for match in re.findall(r'"([A-Za-z][A-Za-z0-9-]*)[>=;\[ "]', table)} - {
        "gi-edge",
        "tensorrt",
    }
    assert needed - pinned == set()
