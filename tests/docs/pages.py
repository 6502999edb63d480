"""What the pages of README.md and docs/ hold, read by a Markdown parser."""

import re
import shlex
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from markdown_it import MarkdownIt

OF_THE_SHELL = {">", "|", "&&", ";"}
ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.name: path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}


@dataclass(frozen=True)
class Block:
    """A block of code: its text, its language, the file it is to be (or None), the line it begins on."""

    text: str
    language: str
    title: str | None
    line: int

    @property
    def shifted(self):
        """The text with so many empty lines before it that an error's line is the page's."""
        return "\n" * self.line + self.text


def blocks(page):
    """Every block of code of a page, indented ones too, in order."""
    found = []
    for token in MarkdownIt("commonmark").parse(PAGES[page].read_text(encoding="utf-8")):
        if token.type in {"fence", "code_block"}:
            language, _, options = token.info.strip().partition(" ")
            title = re.search(r'title="(.+?)"', options)
            found.append(Block(token.content, language, title and title[1], token.map[0] + 1))
    return found


def commands(page, program):
    """The calls of a program in the blocks of a page that are no Python, each as its list of arguments."""
    found = []
    for block in blocks(page):
        if block.language == "python":
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            # What a shell fills in is a number here.
            words = [re.sub(r"^\$\w+$", "1", word) for word in shlex.split(line.removeprefix("$ "), comments=True)]
            for k, word in enumerate(words):
                if word == program:
                    found.append(list(takewhile(lambda word: word not in OF_THE_SHELL, words[k + 1 :])))
                    break
    return found
