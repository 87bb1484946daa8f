"""The examples do what their pages say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from outlive.entries import Kind
from outlive.journals.readers import Reader
from outlive.stores import DirectoryStore
from tests.programs import SECONDS

EXAMPLES = Path(__file__).parents[1] / "examples"
HEADINGS = ["## What it shows", "## Run it", "## How it works"]


def call(outlive, *arguments: str) -> str:
    """Run an example to its end, with the store of the test; returns what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=EXAMPLES,
        env=outlive.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    return done.stdout


def test_the_example_of_stages_imports_each_table_within_the_whole(outlive):
    """The run has the bars, and the stages as data; the console has neither."""
    printed = call(outlive, "stages/stages.py", "4", "0.4")
    record = outlive.record()
    assert printed == f"Started run {record['id']}.\nIt succeeded.\n"
    assert record["title"] == "Import warehouse"
    reader = Reader(DirectoryStore(outlive.store).journal(record["id"]))
    entries = []
    while some := reader.read():
        entries += some
    stages = [json.loads(entry.payload) for entry in entries if entry.kind is Kind.STAGE]
    done = [(stage["parent"], stage["name"]) for stage in stages if stage["done"]]
    tables = ["orders_001", "invoices_002", "stock_003", "clients_004"]
    assert done == [*(("Import", table) for table in tables), (None, "Import")]
    assert (stages[-1]["current"], stages[-1]["total"], stages[-1]["unit"]) == (4, 4, "tables")
    assert outlive.text().count(b"\n") == len(tables)


def test_the_example_of_a_story_is_told_to_its_end(outlive):
    """It knows nothing of Outlive, which shows it nevertheless."""
    outlive("run", "--", sys.executable, str(EXAMPLES / "story" / "story.py"), "0.5")
    assert outlive.record()["state"] == "succeeded"
    assert b"Done." in outlive.text()


@pytest.mark.parametrize("example", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_an_example_says_how_it_is_run(example):
    """In its README, by a command that is there, below the same heading as in all others."""
    [program] = example.glob("*.py")
    text = (example / "README.md").read_text()
    assert f"examples/{example.name}/{program.name}" in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert [name for name in headings if name != "## What you see"] == HEADINGS


@pytest.mark.parametrize(
    "page", sorted(EXAMPLES.rglob("*.html")), ids=lambda path: path.parent.name
)
def test_a_page_of_an_example_fits_its_window(page, browser):
    """On a phone, too, and is dark where that is wanted."""
    options = {"is_mobile": True, "viewport": {"width": 390, "height": 800}, "color_scheme": "dark"}
    with browser.new_context(**options) as context:
        shown = context.new_page()
        shown.goto(page.as_uri())
        assert shown.evaluate("document.documentElement.scrollWidth") == 390
        assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(255, 255, 255)"
