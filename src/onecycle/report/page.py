"""The whole page: one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files

from onecycle.report import markup
from onecycle.report.parts import Section
from onecycle.report.playground import FIGURE, NAME, playground

STYLES = "'unsafe-inline'"  # plotly writes style attributes and rules of its own

MOST_DETAILS = 6  # beyond, they are folded away


def page(sections: Sequence[Section], sources: Sequence[str] = ()) -> str:
    """Returns the report's HTML.

    Args:
        sections: what each result became, in order.
        sources: the file that each result came from; empty where they came from memory.

    Raises:
        ImportError: without plotly; the message says what to install.
    """
    figures = {f"figure-{n}-{m}": f for n, part in enumerate(sections) for m, f in enumerate(part.figures)}
    scripts = [markup.program(code) for code in (plotly_js(), _asset("report.js"), _asset("playground.js"))]
    specs = {name: {"views": [asdict(view) for view in f.views]} for name, f in {**figures, NAME: FIGURE}.items()}
    named = [*sources] + [""] * (len(sections) - len(sources))
    body = "".join(_section(part, number, named[number]) for number, part in enumerate(sections))
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">',
            f"<title>{markup.text(_title(sections))}</title>",
            f"<style>\n{_asset('report.css')}</style>\n</head>\n<body>",
            '<a class="skip" href="#main">Skip to the results</a>',
            "<header><h1>Learning rate report</h1>",
            '<button type="button" id="theme" aria-pressed="false" hidden>Dark colours</button></header>',
            '<main id="main">',
            _short(sections, named),
            '<p id="no-script">The pictures and the playground need JavaScript; the tables hold all numbers.</p>',
            body,
            playground(sections),
            _repeat(sections, named),
            "</main>",
            f"<footer>Made with onecycle {markup.text(version('onecycle'))}.",
            "This file needs no network and sends nothing.</footer>",
            markup.data_script("figures", specs),
            *(f"<script>{script}</script>" for script in scripts),
            "</body>\n</html>\n",
        )
    )


def plotly_js() -> str:
    """Returns plotly's JavaScript, of the plotly that is installed.

    Raises:
        ImportError: without plotly; the message says what to install.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError("Reports need plotly: pip install 'onecycle[report]'") from error
    code: str = get_plotlyjs()
    return code


def _asset(name: str) -> str:
    return (files("onecycle.report") / "assets" / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    """Nothing may be fetched from anywhere, and no script may run but ours, whatever gets into the page."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    rules = ("default-src 'none'", f"script-src {allowed}", f"style-src {STYLES}", "img-src data: blob:")
    return "; ".join((*rules, "base-uri 'none'", "form-action 'none'"))


def _title(sections: Sequence[Section]) -> str:
    return "Learning rate report" if len(sections) != 1 else f"{sections[0].kind}: {sections[0].verdict}"


def _heading(section: Section, source: str) -> str:
    return f"{section.kind}, {source}" if source else section.kind


def _short(sections: Sequence[Section], sources: Sequence[str]) -> str:
    told = "".join(
        f'<li><a href="#result-{n}">{markup.text(_heading(part, sources[n]))}</a>: {markup.text(part.verdict)}</li>'
        for n, part in enumerate(sections)
    )
    more = '<a href="#schedule">Schedule playground</a> · <a href="#repeat">How to repeat it</a>'
    head = '<section class="short" aria-labelledby="short"><h2 id="short">In short</h2>'
    return f'{head}<ul>{told}</ul><nav aria-label="More"><p>{more}</p></nav></section>'


def _section(section: Section, number: int, source: str) -> str:
    name = f"result-{number}"
    parts = [f'<p class="kind">{markup.text(source)}</p>' if source else ""]
    parts.append(f'<h2 id="{name}-title">{markup.text(section.kind)}</h2>')
    parts.append(f'<p class="verdict">{markup.text(section.verdict)}</p>')
    if section.details:
        parts.append(_details(section.details))
    beside = [figure.beside for figure in section.figures]
    if section.brief is not None and section.brief not in beside:
        parts.append(markup.table(section.brief))
    parts += [markup.figure(figure, f"figure-{number}-{n}") for n, figure in enumerate(section.figures)]
    parts += [markup.table(table) for table in section.tables]
    if section.plain:
        parts.append(f'<pre tabindex="0">{markup.text(section.plain)}</pre>')
    return f'<section id="{name}" aria-labelledby="{name}-title">{"".join(parts)}</section>'


def _details(lines: Sequence[str]) -> str:
    told = f'<ul class="details">{"".join(f"<li>{markup.text(line)}</li>" for line in lines)}</ul>'
    few = len(lines) <= MOST_DETAILS
    return told if few else f"<details><summary>In words: {len(lines)} sentences</summary>{told}</details>"


def _repeat(sections: Sequence[Section], sources: Sequence[str]) -> str:
    parts = []
    for number, section in enumerate(sections):
        parts.append(f"<h3>{markup.text(_heading(section, sources[number]))}</h3>")
        parts += [f'<pre class="wrap"><code>{markup.text(line)}</code></pre>' for line in section.code]
        for title, facts in (("Settings", section.settings), ("Versions", section.versions)):
            parts.append(f"<h4>{title}</h4>{markup.definitions(facts)}" if facts else "")
    named = [source for source in sources if source]
    if named:
        files_ = " ".join(shlex.quote(source) for source in named)
        command = f"onecycle report {files_} -o report.html"
        parts.append(f'<h3>This report</h3><pre class="wrap"><code>{markup.text(command)}</code></pre>')
    head = '<section id="repeat" aria-labelledby="repeat-title"><h2 id="repeat-title">How to repeat it</h2>'
    return f"{head}{''.join(parts)}</section>"
