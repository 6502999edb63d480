"""The code blocks and commands in README.md and docs/, read by a Markdown parser."""

import re
import shlex
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from markdown_it import MarkdownIt

SHELL_OPERATORS = {">", "|", "&&", ";"}
ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.name: path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        text: The code.
        language: The language of the block.
        title: The name of the file that the block shows, or None.
        line: The line on which the block starts.
    """

    text: str
    language: str
    title: str | None
    line: int

    @property
    def text_at_its_line(self):
        """The code after as many empty lines as put it at its line of the page, for tracebacks."""
        return "\n" * self.line + self.text


def blocks(page):
    """Return the code blocks of a page in order, indented blocks included."""
    result = []
    for token in MarkdownIt("commonmark").parse(PAGES[page].read_text(encoding="utf-8")):
        if token.type in {"fence", "code_block"}:
            language, _, options = token.info.strip().partition(" ")
            title = re.search(r'title="(.+?)"', options)
            result.append(Block(token.content, language, title and title[1], token.map[0] + 1))
    return result


def commands(page, program):
    """Return the argument lists of the calls of a program in the blocks of a page that are not Python."""
    calls = []
    for block in blocks(page):
        if block.language == "python":
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            # Replace shell variables by a number.
            words = [re.sub(r"^\$\w+$", "1", word) for word in shlex.split(line.removeprefix("$ "), comments=True)]
            for k, word in enumerate(words):
                if word == program:
                    calls.append(list(takewhile(lambda word: word not in SHELL_OPERATORS, words[k + 1 :])))
                    break
    return calls
