"""An evaluation as one self-contained page. Needs matplotlib and jinja2 (the report extra)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from gi_edge.artifacts.evaluation import EvaluationResult
from gi_edge.report.evaluation_cells import (
    class_notes,
    class_rows,
    counted,
    frames_words,
    groups_heading,
    level_words,
    score_notes,
    score_rows,
    temperature_note,
)
from gi_edge.report.evaluation_plots import class_plot, reliability_plot
from gi_edge.report.evaluation_verdict import (
    comparison_sentences,
    outcome_from_evaluation,
    sentence_from_evaluation,
)
from gi_edge.report.notes import FEW_FRAMES, licence_notes
from gi_edge.report.pages import page_environment
from gi_edge.report.plots import confusion_plot
from gi_edge.report.sheets import data_uri_from_image


def page_from_evaluation(result: EvaluationResult, *, sheet: Image.Image | None = None) -> str:
    """Return a self-contained HTML page: a sentence, tables, figures, licences, terms. Equal input, equal bytes.

    sheet: the worst mistakes, as mistakes_sheet draws them.
    """
    evaluation = result.evaluation
    confusion = np.asarray(evaluation.confusion, dtype=np.int64)
    wrong = int(confusion.sum() - np.trace(confusion))
    return (
        page_environment()
        .get_template("evaluation.html.j2")
        .render(
            result=result,
            evaluation=evaluation,
            sentence=sentence_from_evaluation(evaluation),
            comparison=comparison_sentences(evaluation),
            outcome=outcome_from_evaluation(result),
            frames=frames_words(evaluation),
            level=level_words(evaluation),
            groups_heading=groups_heading(evaluation),
            licence_notes=licence_notes(result, "model"),
            scores=score_rows(evaluation),
            score_notes=(*score_notes(evaluation), temperature_note(result.temperature)),
            classes=class_rows(evaluation),
            class_notes=class_notes(evaluation),
            few_frames=FEW_FRAMES,
            wrong=wrong,
            wrong_words=counted(wrong, "wrong answer"),
            confusion_svg=confusion_plot(evaluation.confusion, evaluation.classes, name="confusion"),
            reliability_svg=reliability_plot(evaluation, name="reliability"),
            class_svg=class_plot(evaluation, name="classes"),
            sheet=sheet,
            sheet_uri=data_uri_from_image(sheet) if sheet is not None else None,
        )
    )
