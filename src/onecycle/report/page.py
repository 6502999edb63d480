"""The whole page: one HTML file that depends on no other file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files

from onecycle.report import markup
from onecycle.report.markup import escape
from onecycle.report.parts import Section
from onecycle.report.playground import FIGURE, NAME, playground_html

MAX_DETAILS = 6  # more sentences than this are folded


def page_html(sections: Sequence[Section], sources: Sequence[str] = ()) -> str:
    """Return the HTML of the report.

    Args:
        sections: The sections of all results, in order.
        sources: Files that the results were loaded from, for the command that repeats the report; by default none.

    Raises:
        ImportError: If plotly is missing. The message says what to install.
    """
    # Only the data of the figures go into the page: `report.js` draws them when it is opened.
    figures = {f"figure-{n}-{m}": f for n, part in enumerate(sections) for m, f in enumerate(part.figures)}
    shared, plotly = _shared_origin(sections), plotly_js()
    scripts = [markup.script_text(_asset(name)) for name in ("unpack.js", "report.js", "playground.js")]
    specs = {name: {"views": [asdict(view) for view in f.views]} for name, f in {**figures, NAME: FIGURE}.items()}
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_content_security_policy([plotly, *scripts])}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">',
            f"<title>{escape(_title(sections))}</title>",
            f"<style>\n{_asset('report.css')}</style>\n</head>\n<body>",
            '<a class="skip" href="#main">Skip to the results</a>',
            "<header><h1>Learning rate report</h1>",
            '<button type="button" id="theme" aria-pressed="false" hidden>Dark colors</button></header>',
            '<main id="main">',
            _overview(sections, shared),
            '<p id="no-script">The figures and the playground need JavaScript; the tables hold all numbers.</p>',
            *(_section_html(section, number, with_origin=not shared) for number, section in enumerate(sections)),
            playground_html(sections),
            _repetition(sections, sources),
            "</main>",
            f"<footer>Made with onecycle {escape(version('onecycle'))}.",
            "This file needs no network and sends nothing.</footer>",
            markup.data_script("figures", specs),
            f'<script type="application/gzip" id="plotly">{_packed(plotly)}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body>\n</html>\n",
        )
    )


def plotly_js() -> str:
    """Return the JavaScript of the plotly that is installed.

    Raises:
        ImportError: If plotly is missing. The message says what to install.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError("Reports need plotly: pip install plotly") from error
    code: str = get_plotlyjs()
    # The browser computes the hash of a script after it has normalized the ends of lines.
    return code.replace("\r\n", "\n")


def _packed(code: str) -> str:
    """Return a script compressed for `unpack.js`, which makes a page 2.9 MB smaller."""
    # Without the time of day, equal pages give equal bytes.
    return base64.b64encode(gzip.compress(code.encode(), mtime=0)).decode("ascii")


def _asset(name: str) -> str:
    return (files("onecycle.report") / "assets" / name).read_text(encoding="utf-8")


def _content_security_policy(scripts: Sequence[str]) -> str:
    """Return a policy under which nothing is fetched and no other script runs, whatever the page contains."""
    # A policy by hashes allows exactly these scripts, without a server that could set a nonce.
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    rules = (
        "default-src 'none'",
        f"script-src {allowed}",
        "style-src 'unsafe-inline'",  # plotly writes style attributes and rules
        "img-src data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(rules)


def _title(sections: Sequence[Section]) -> str:
    return "Learning rate report" if len(sections) != 1 else f"{sections[0].title}: {sections[0].verdict}"


def _shared_origin(sections: Sequence[Section]) -> Mapping[str, str]:
    """Return the first result's origin if the others have the same, apart from the date; else none."""
    origins = [section.origin for section in sections if section.origin]
    undated = [{name: text for name, text in origin.items() if name != "date"} for origin in origins]
    return origins[0] if origins and all(origin == undated[0] for origin in undated) else {}


def _origin_html(origin: Mapping[str, str]) -> str:
    return f'<p class="source">{escape(" · ".join(origin.values()))}</p>' if origin else ""


def _overview(sections: Sequence[Section], origin: Mapping[str, str]) -> str:
    """Return the first section: where the results come from, and the verdict of each with a link to its section."""
    items = "".join(
        f'<li><a href="#result-{number}">{escape(section.heading)}</a>: {escape(section.verdict)}</li>'
        for number, section in enumerate(sections)
    )
    links = '<a href="#schedule">Schedule playground</a> · <a href="#repeat">How to repeat it</a>'
    head = '<section class="overview" aria-labelledby="overview"><h2 id="overview">In short</h2>'
    return f'{head}{_origin_html(origin)}<ul>{items}</ul><nav aria-label="More"><p>{links}</p></nav></section>'


def _section_html(section: Section, number: int, *, with_origin: bool) -> str:
    name = f"result-{number}"
    parts = [f'<p class="source">{escape(section.source)}</p>' if section.source else ""]
    parts.append(f'<h2 id="{name}-title">{escape(section.title)}</h2>')
    parts.append(_origin_html(section.origin) if with_origin else "")
    parts.append(f'<p class="verdict">{escape(section.verdict)}</p>')
    if section.details:
        parts.append(_details(section.details))
    # A main table beside a figure is not repeated above it.
    side_tables = [figure.side_table for figure in section.figures]
    if section.main_table is not None and section.main_table not in side_tables:
        parts.append(markup.table_html(section.main_table))
    parts += [markup.figure_html(figure, f"figure-{number}-{n}") for n, figure in enumerate(section.figures)]
    parts += [markup.table_html(table) for table in section.tables]
    if section.text:
        parts.append(f'<pre tabindex="0">{escape(section.text)}</pre>')
    return f'<section id="{name}" aria-labelledby="{name}-title">{"".join(parts)}</section>'


def _details(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    details = f'<ul class="details">{items}</ul>'
    if len(sentences) <= MAX_DETAILS:
        return details
    return f"<details><summary>In words: {len(sentences)} sentences</summary>{details}</details>"


def _repetition(sections: Sequence[Section], sources: Sequence[str]) -> str:
    """Return the last section: code, settings and versions of every result, and the command that makes this report."""
    parts = []
    for section in sections:
        if not (section.code or section.settings or section.versions):
            continue
        parts.append(f"<h3>{escape(section.heading)}</h3>")
        parts += [_code_block(line) for line in section.code]
        for title, items in (("Settings", section.settings), ("Versions", section.versions)):
            parts.append(f"<h4>{title}</h4>{markup.definition_list(items)}" if items else "")
    if any(sources):
        command = f"onecycle report {' '.join(shlex.quote(source) for source in sources)} -o report.html"
        parts.append(f"<h3>This report</h3>{_code_block(command)}")
    head = '<section id="repeat" aria-labelledby="repeat-title"><h2 id="repeat-title">How to repeat it</h2>'
    return f"{head}{''.join(parts)}</section>"


def _code_block(code: str) -> str:
    return f'<pre class="wrap"><code>{escape(code)}</code></pre>'
