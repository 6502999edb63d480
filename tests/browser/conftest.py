"""A real Chromium, driven by playwright. Without one tests are skipped; with ONECYCLE_BROWSER=required they fail."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing of the browser's own goes out either. As root it has no sandbox; a fresh profile is playwright's habit.
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
    """Chromium, once for all tests."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed: pip install 'onecycle[dev]'")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        _missing(f"there is none of {', '.join(NAMES)} on the path: on Debian, apt-get install chromium")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, headless=True, args=FLAGS)
        yield started
        started.close()


class Opened:
    """A page, and all that it said and asked for while it was open."""

    def __init__(self, context, path):
        self.said, self.asked, self.url = [], [], path.as_uri()
        self.page = context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        context.route("**/*", self._answer)
        self.page.goto(self.url)

    def _answer(self, route):
        self.asked.append(route.request.url)
        if route.request.url == self.url:
            route.continue_()
        else:
            route.abort()

    def ready(self):
        """Waits until everything is drawn."""
        self.page.evaluate("onecycle.ready")
        self.page.wait_for_function("document.querySelector('#playground').data?.length === 2")


@pytest.fixture(scope="session")
def open_page(browser):
    """Opens a file in a window of its own with the network refused; options are playwright's for a context."""
    contexts = []

    def opened(path, **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        context.set_offline(True)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = Opened(context, path)
        if options.get("java_script_enabled", True):
            page.ready()
        return page

    yield opened
    for context in contexts:
        context.close()
