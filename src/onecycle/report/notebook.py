"""What a notebook shows of a result: a few lines, one table, one picture, all in the notebook itself."""

from __future__ import annotations

import base64
import io

from onecycle.report import markup
from onecycle.report.sections import section
from onecycle.results.base import Result

DPI = 110
STYLE = "max-width: 100%; height: auto; background: white"  # the picture is drawn for white, whatever the theme


def notebook_html(result: Result) -> str:
    """Returns a piece of HTML without scripts: the verdict, the table that says most, and the picture.

    Without matplotlib there is no picture, and the rest is there.
    """
    told = section(result)
    parts = [f"<p><strong>{markup.text(told.kind)}.</strong> {markup.text(told.verdict)}</p>"]
    if told.plain:
        parts.append(f"<pre>{markup.text(told.plain)}</pre>")
    parts.append(_picture(result, f"{told.kind}. {told.verdict}"))
    if told.brief is not None:
        parts.append(markup.table(told.brief))
    return f"<div>{''.join(parts)}</div>"


def _picture(result: Result, alt: str) -> str:
    try:
        figure = result.plot().get_figure(root=True)
    except ImportError:
        return ""
    if figure is None:
        return ""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="{markup.text(alt)}" style="{STYLE}" src="data:image/png;base64,{data}">'
