"""Tests that the site builds without warnings, documents all public names and needs no network."""

import re
import subprocess
import sys

import pytest
from docs.pages import PAGES, ROOT

import onecycle

SCRIPT, STYLE = r"<script[^>]*\ssrc", r'<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*\shref'
EXTERNAL = re.compile(rf'(?:{SCRIPT}|{STYLE})="(?:https?:)?//[^"]+')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the site, built as by `make docs`."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_site_has_every_page(site):
    """The site has every page of docs/."""
    assert {path.stem for path in site.glob("*.html")} >= {name[:-3] for name in PAGES if name != "README.md"}


def test_every_public_name_is_documented(site):
    """Every public name has a heading on the API page."""
    text = (site / "api.html").read_text(encoding="utf-8")

    assert [n for n in onecycle.__all__ if f'id="onecycle.{n}"' not in text and n != "__version__"] == []


def test_site_needs_no_network(site):
    """No page loads a script or a style sheet from another host."""
    assert {str(p): m[0] for p in site.glob("*.html") if (m := EXTERNAL.search(p.read_text(encoding="utf-8")))} == {}
