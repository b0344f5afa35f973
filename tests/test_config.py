"""Settings and workspace files: every fault at once, with the nearest name."""

from __future__ import annotations

import pytest

from gi_edge.config import Value, read_toml, value_from_mapping
from gi_edge.errors import ConfigError, did_you_mean
from gi_edge.workspace import FILE_NAME, Workspace


class Example(Value):
    epochs: int
    rank: int = 4


def test_every_fault_is_told_at_once_with_the_nearest_name():
    with pytest.raises(ConfigError) as caught:
        value_from_mapping(Example, {"epoch": 3, "rank": "many"}, source="file.toml")
    text = caught.value.message
    assert text.startswith("file.toml: ")
    assert "unknown key 'epoch' (did you mean 'epochs'?" in text
    assert "epochs is missing" in text
    assert "rank must be a whole number, found 'many'" in text


def test_a_value_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Example(epochs=1).epochs = 2  # type: ignore[misc]


def test_not_a_number_is_refused():
    class Rate(Value):
        rate: float

    with pytest.raises(ConfigError, match="finite"):
        value_from_mapping(Rate, {"rate": float("nan")}, source="x")


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_broken_toml_names_the_file(tmp_path, content):
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"x\.toml is not valid TOML"):
        read_toml(tmp_path / "x.toml")


def test_nearest_name_only_when_near():
    assert did_you_mean("foldrs", ["folders", "synthetic"]).startswith("did you mean 'folders'?")
    assert did_you_mean("zzz", ["folders"]) == "known: folders"


def test_the_workspace_is_found_from_below_and_paths_start_at_its_file(tmp_path):
    (tmp_path / FILE_NAME).write_text('[datasets.a]\npath = "data/a"\n[train]\nweights = "w/x.pth"\n')
    below = tmp_path / "deep" / "er"
    below.mkdir(parents=True)
    place = Workspace.find(below)
    assert place.root == tmp_path
    assert place.dataset("a").path == tmp_path / "data/a"
    assert place.train_settings == {"weights": tmp_path / "w/x.pth"}


@pytest.mark.parametrize(("kind", "article"), [("adapter", "an"), ("bundle", "a")])
def test_what_cannot_be_a_name_is_refused_in_plain_english(tmp_path, kind, article):
    with pytest.raises(ConfigError, match=f"^'a/b' cannot name {article} {kind} →"):
        Workspace(tmp_path, None).output(kind, "a/b")


def test_an_unknown_dataset_names_the_nearest(tmp_path):
    (tmp_path / FILE_NAME).write_text('[datasets.hyperkvasir]\npath = "x"\n')
    with pytest.raises(ConfigError, match="did you mean 'hyperkvasir'"):
        Workspace.find(tmp_path).dataset("hyperkvasr")


def test_without_a_workspace_the_error_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigError) as caught:
        Workspace(tmp_path, None).dataset("a")
    assert "gi-edge init --data DIR" in caught.value.fix


def test_an_unknown_key_of_the_workspace_is_told(tmp_path):
    (tmp_path / FILE_NAME).write_text("[dataset.a]\npath = 'x'\n")
    with pytest.raises(ConfigError, match="unknown key 'dataset' \\(did you mean 'datasets'"):
        Workspace.find(tmp_path)
