"""A real browser, and a page in it that complains."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

__all__ = ["PATIENCE", "browser", "complaints", "page"]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 30_000


def program_of_browser() -> str:
    """Find Chromium; without it these tests fail, for the page is not to be trusted unseen."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    assert found is not None, "Chromium is missing: `make test` as root installs it"
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start one browser for all tests of a module."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program_of_browser(), args=ARGUMENTS, timeout=120_000
        )
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """Collect what the browser complains of; in the end nothing may be left."""
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """Open an empty page; errors and broken policies on it are complaints."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda m: complaints.extend([m.text] * (m.type in ("error", "warning"))))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error('CSP: ' + e.violatedDirective))"
    )
    yield page
    context.close()
    assert complaints == []
