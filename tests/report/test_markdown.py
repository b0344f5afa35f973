from __future__ import annotations

from gi_edge.report.markdown import markdown_from_result


def table_after(text, heading):
    return [line for line in text.split(heading, 1)[1].lstrip().splitlines() if line.startswith("|")]


def test_verdict_comes_first_then_one_row_per_model(make):
    bad = make.model("fp16", measured=make.parity(flips=41))
    text = markdown_from_result(make.result(make.bundle(make.model(), bad)))
    assert text.splitlines()[2].startswith("**1 of 2 model files failed: gastrovision fp16 (41 of 400")
    rows = table_after(text, "## Models")
    assert rows[2].startswith("| gastrovision | fp32 | CPUExecutionProvider | pass | 0 / 400 | 0.75\u00a0% | 3.1e-06 |")
    assert rows[3].startswith("| gastrovision | fp16 | CPUExecutionProvider | fail | 41 / 400 |")


def test_names_cannot_break_the_table(make):
    names = ("a|b", "x_y*z`", "<script>&")
    text = markdown_from_result(make.result(make.bundle(names=names, name="new\nline")))
    rows = table_after(text, "## Classes")
    assert [row.split(" | ")[0] for row in rows[2:5]] == ["| a\\|b", "| x\\_y\\*z\\`", "| &lt;script>&amp;"]
    assert "| new line | fp32 |" in text
    assert "<" not in text


def test_every_row_of_a_table_has_the_same_number_of_cells(make):
    text = markdown_from_result(make.result(make.bundle(make.model(), make.model("fp16"))))
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count(" | ") for line in block.splitlines()}) == 1


def test_speed_only_and_parity_only(make):
    fast = markdown_from_result(make.result(make.bundle(make.model(is_speed_only=True))))
    assert "Parity was not measured in this run, so there are no scores per class." in fast
    assert "gi-edge bench gastrovision --speed-only" in fast
    exact = markdown_from_result(make.result(make.bundle(make.model(speeds=()))))
    assert "Speed was not measured in this run." in exact


def test_hashes_and_cautions_are_there(make):
    text = markdown_from_result(make.result(make.bundle(make.model("fp16", proves_precision=False))))
    assert f"| gastrovision/model-fp16.onnx | {'cd' * 32} | 57.0 |" in text
    assert "computes fp16 graphs in fp32" in text
    assert "Commercial use is not permitted" in text
