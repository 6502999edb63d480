"""A hook of mkdocs: links that leave docs/ become text, since the site has no such pages."""

from __future__ import annotations

import re

# [text](../studies/one/README.md#heading)
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./((?:studies|benchmarks)/[^)#]*)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return the text of a page with the path in the repository in place of each such link."""
    return OUTSIDE.sub(r"\1 (`\2` in the repository)", markdown)
