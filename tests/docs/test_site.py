"""The site builds without a warning, tells of every public name, and is whole without a network."""

import re
import subprocess
import sys

import pytest
from docs.pages import PAGES, ROOT

import onecycle

SCRIPT, STYLE = r"<script[^>]*\ssrc", r'<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*\shref'
OUTSIDE = re.compile(rf'(?:{SCRIPT}|{STYLE})="(?:https?:)?//[^"]+')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_site_has_every_page(site):
    """Each page of docs/ is there."""
    assert {path.stem for path in site.glob("*.html")} >= {name[:-3] for name in PAGES if name != "README.md"}


def test_site_tells_of_every_public_name(site):
    """Each public name has its heading on the page of the API."""
    text = (site / "api.html").read_text(encoding="utf-8")

    assert [n for n in onecycle.__all__ if f'id="onecycle.{n}"' not in text and n != "__version__"] == []


def test_site_needs_no_network(site):
    """No page takes a script or a style from elsewhere."""
    assert {str(p): m[0] for p in site.glob("*.html") if (m := OUTSIDE.search(p.read_text(encoding="utf-8")))} == {}
