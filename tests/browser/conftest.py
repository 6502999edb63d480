"""A real Chromium, driven by playwright. Without it tests are skipped; with ONECYCLE_BROWSER=required they fail."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The browser makes no requests of its own. As root it needs to run without a sandbox. Playwright uses a new profile.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def _missing(reason):
    if os.environ.get("ONECYCLE_BROWSER") == "required":
        pytest.fail(f"ONECYCLE_BROWSER=required, but {reason}")
    pytest.skip(f"needs a browser: {reason}")


@pytest.fixture(scope="session")
def browser():
    """Chromium, started once for all tests."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed: pip install playwright")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        _missing(f"none of {', '.join(NAMES)} is on the path: on Debian, apt-get install chromium")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, headless=True, args=FLAGS)
        yield started
        started.close()


class OpenPage:
    """A page with its console messages, errors, dialogs and requests."""

    def __init__(self, context, path):
        self.messages, self.requests, self.url = [], [], path.as_uri()
        self.page = context.new_page()
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.messages.append(dialog.message), dialog.dismiss()))
        context.route("**/*", self._allow_file_only)
        self.page.goto(self.url)

    def _allow_file_only(self, route):
        self.requests.append(route.request.url)
        if route.request.url == self.url:
            route.continue_()
        else:
            route.abort()

    def wait_until_drawn(self):
        """Wait until all figures are drawn."""
        self.page.evaluate("onecycle.ready")
        self.page.wait_for_function("document.querySelector('#playground').data?.length === 2")


@pytest.fixture(scope="session")
def open_page(browser):
    """A function that opens a file in a new window without network. Its options are those of a playwright context."""
    contexts = []

    def opened(path, **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        context.set_offline(True)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = OpenPage(context, path)
        if options.get("java_script_enabled", True):
            page.wait_until_drawn()
        return page

    yield opened
    for context in contexts:
        context.close()
