"""What a notebook shows of a result: a few lines, one table and one plot, all inside the notebook."""

from __future__ import annotations

import base64
import io

from onecycle.report.markup import escape, table_html
from onecycle.report.sections import sections_of
from onecycle.results.base import Result

DPI = 110
STYLE = "max-width: 100%; height: auto; background: white"  # the plot is drawn for a white background in every theme


def notebook_html(result: Result) -> str:
    """Return the verdict, the plot and the main table as HTML without scripts.

    The plot is left out where matplotlib is missing.
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
    try:
        figure = result.plot().get_figure(root=True)
    except ImportError:
        return ""
    if figure is None:
        return ""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="{escape(description)}" style="{STYLE}" src="data:image/png;base64,{data}">'
