"""What a notebook shows of a result: a few lines, one table and one plot, all inside the notebook."""

from __future__ import annotations

import base64

from onecycle.plot.showing import png, shown_in_this_cell
from onecycle.report.markup import escape, table_html
from onecycle.report.sections import sections_of
from onecycle.results.base import Result

STYLE = "max-width: 100%; height: auto; background: white"  # the plot is drawn for a white background in every theme


def notebook_html(result: Result) -> str:
    """Return the verdict, the plot and the main table as HTML without scripts.

    The plot is left out where matplotlib is missing, and where the cell has already shown it.
    """
    section = sections_of(result)[0]
    parts = [f"<p><strong>{escape(section.title)}.</strong> {escape(section.verdict)}</p>"]
    if section.text:
        parts.append(f"<pre>{escape(section.text)}</pre>")
    parts.append(_plot(result, f"{section.title}. {section.verdict}"))
    if section.main_table is not None:
        parts.append(table_html(section.main_table))
    return f"<div>{''.join(parts)}</div>"


def _plot(result: Result, description: str) -> str:
    if shown_in_this_cell(result):
        return ""
    try:
        data = base64.b64encode(png(result.plot(show=False))).decode("ascii")
    except ImportError:
        return ""
    return f'<img alt="{escape(description)}" style="{STYLE}" src="data:image/png;base64,{data}">'
