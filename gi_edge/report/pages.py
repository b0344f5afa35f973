"""Where every page gets its template from. Needs jinja2 (the report extra)."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment() -> Environment:
    """Return the environment of the page templates: values are escaped, and an unknown name is an error."""
    return Environment(
        loader=PackageLoader("gi_edge.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
