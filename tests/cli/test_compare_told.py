"""gi-edge compare: the limit as it was given, other classes, and one thing named twice."""

from __future__ import annotations

import json

import pytest
from bench_changes import retimed
from bench_results import bundle, result

from gi_edge.artifacts.results import write_result


@pytest.fixture
def pair(tmp_path):
    """Two results of one bundle, too short to decide anything; the second has its classes in another order."""
    first = retimed(result(bundle()), 4.0, 10)
    write_result(tmp_path / "a.json", first)
    (only,) = first.bundles
    other = only.model_copy(update={"classes": only.classes[::-1]})
    write_result(tmp_path / "b.json", first.model_copy(update={"bundles": (other,)}))
    write_result(tmp_path / "c.json", first)
    return tmp_path


@pytest.mark.parametrize(("given", "told"), [("0.05", "0.05%"), ("5%", "5%"), ("12.345%", "12.345%"), ("0", "0%")])
def test_the_limit_is_told_as_it_was_given(pair, gi_edge, given, told):
    done = gi_edge("compare", "a.json", "c.json", "--max-regression", given, cwd=pair)
    assert done.code == 0, done.err
    assert f"could not be decided at {told}: time them longer" in done.err


def test_other_classes_are_told(pair, gi_edge):
    found = json.loads(gi_edge("compare", "a.json", "b.json", "c.json", "--json", cwd=pair).out)
    forth = ", ".join(bundle().classes)
    back = ", ".join(bundle().classes[::-1])
    assert found["differences"] == [{"fact": "classes of gastrovision", "values": [forth, back, forth]}]
    assert "classes of gastrovision" in gi_edge("compare", "a.json", "b.json", cwd=pair).out.replace("\n", " ")
    assert json.loads(gi_edge("compare", "a.json", "c.json", "--json", cwd=pair).out)["differences"] == []


@pytest.mark.parametrize(
    "names", [("a.json", "a.json"), ("a.json", "b.json", "./a.json"), ("tuned", "tuned"), ("tuned", "adapters/tuned")]
)
def test_one_named_twice_is_refused(pair, gi_edge, names):
    (pair / "gi-edge.toml").write_text("")
    (pair / "adapters" / "tuned").mkdir(parents=True)
    done = gi_edge("compare", *names, cwd=pair)
    assert done.code == 2
    assert f"{names[0]} and {names[-1]} are the same: a comparison needs two" in done.err
