"""The tutorial can be typed as it stands."""

import re
from pathlib import Path

import httpx

from outlive.entries import Kind
from outlive.journals.readers import Reader
from outlive.stores import DirectoryStore
from tests.documents import Step, perform

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"


def test_the_tutorial_can_be_typed_as_it_stands(tmp_path):
    """Every command prints what is shown, the page answers, and the stages are there."""
    pages: list[int] = []

    def open_page(_: Step, printed: str) -> None:
        urls = re.findall(r"http://\S+", printed)
        pages.extend(
            httpx.get(url, headers={"Accept": "text/html"}, follow_redirects=True).status_code
            for url in urls
        )

    assert perform(TUTORIAL, tmp_path, seen=open_page) > 8
    assert pages == [200]
    store = DirectoryStore(tmp_path / ".outlive")
    imports = [record for record in store.records() if record.key == "import"]
    assert len(imports) == 1
    entries = Reader(store.journal(imports[0].id)).read()
    stages = {(e.data["parent"], e.data["name"]) for e in entries if e.kind is Kind.STAGE}
    assert stages == {(None, "look for duplicates"), (None, "import"), ("import", "clients")}
