"""A parser of the report's HTML, for tests without a browser."""

import json
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "img", "br", "path", "rect"}


class Page(HTMLParser):
    """The elements, tables and scripts of an HTML text. Raises where tags do not match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.tables, self.scripts = [], [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.rows, self.caption = [], ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "data":
            self.rows[-1][-1] = float(dict(attributes)["value"])
        elif tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables.setdefault(self.caption, self.rows)

    def handle_data(self, text):
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += text
        elif self.open[-1:] == ["caption"]:
            self.caption += text
        elif self.open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += text

    def attributes(self, *names):
        """Return the values of these attributes in all elements."""
        return [value for _, attributes in self.elements for name, value in attributes.items() if name in names]

    @property
    def figures(self):
        """The data of the figures, by name."""
        return json.loads(self.scripts[0])
