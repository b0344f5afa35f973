"""A bench result as one self-contained page. Needs matplotlib and jinja2 (the report extra)."""

from __future__ import annotations

from types import MappingProxyType

from gi_edge.artifacts.results import BenchResult
from gi_edge.report.bench_command import Settings, command_from_result
from gi_edge.report.bundle_view import view_from_bundle
from gi_edge.report.environment_rows import environment_facts, gpu_panels, settings_facts
from gi_edge.report.formats import text_from_megabytes
from gi_edge.report.notes import PROBE_CAUTION, bound_note, limits_note
from gi_edge.report.pages import page_environment
from gi_edge.report.standing import sentence_from_result, verdict_from_result


def page_from_result(result: BenchResult, defaults: Settings = MappingProxyType({})) -> str:
    """Return a self-contained HTML page: verdict, tables, figures, environment, hashes. Equal results, equal bytes.

    defaults: settings of a run without options, which the command on the page need not name.
    """
    environment = page_environment()
    environment.filters["megabytes"] = text_from_megabytes
    return environment.get_template("bench.html.j2").render(
        result=result,
        sentence=sentence_from_result(result),
        verdict=verdict_from_result(result),
        bound_note=bound_note(result),
        limits_note=limits_note(model.precision for bundle in result.bundles for model in bundle.models),
        probe_caution=PROBE_CAUTION,
        command=command_from_result(result, defaults),
        bundles=[view_from_bundle(number, bundle) for number, bundle in enumerate(result.bundles, start=1)],
        environment_facts=environment_facts(result),
        gpu_panels=gpu_panels(result.environment),
        settings_facts=settings_facts(result),
    )
