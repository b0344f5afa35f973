from __future__ import annotations

from bench_large import large_result

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


def test_every_kind_of_measurement_has_its_table():
    text = markdown_from_result(large_result())
    for heading, row in {
        "### One frame at a time": "| gastrovision-27 | fp32 | pixels to logits | 32.3 |",
        "### Frames that arrive at a fixed rate": "| gastrovision-27 | fp32 | pixels to logits | 25 | 40.0 | 0 / 500 |",
        "### Batches": "| gastrovision-27 | fp32 | pixels to logits | 4 | 70.8 |",
        "### Several callers at once": "| gastrovision-27 | fp32 | pixels to logits | 2 |",
        "### After a pause": "| gastrovision-27 | fp32 | 200 | 38.7 | 31.2 | 1.24 × | 100 |",
        "### Energy of the GPU": "| gastrovision-27 | fp32 | single-stream, pixels to logits | energy counter | 287 |",
        "### Other tools": "| gastrovision-27 | fp16 | trtexec 10.3 | median latency, computing alone |",
        "### Until the first answer": "| gastrovision-27 | fp32 | 113 | 413 | 92.5 | 1,734 | 891 |",
        "## Compared with something": "| gastrovision-27 | fp32 | reference on probe images | probe images | alike |",
        "## Changed frames: gastrovision-27": "| Normal mucosa and vascular pattern of the stomach/0d59b1f4c2e7a6b8",
        "## Environment": "| SM clock, MHz (of 1,410) | 1,410 | 1,155 |",
    }.items():
        assert table_after(text, heading)[2].startswith(row)
    assert text.index("**Doubt the times") < text.index("## Models")
    assert "data:image" not in text
