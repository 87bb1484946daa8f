"""The page on servers says what the tests assert."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "servers.py"))


def test_the_table_is_current():
    """Whoever changes a row writes it anew: `make reference`."""
    written = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
    assert SCRIPT["BEGIN"] in written
    assert written == SCRIPT["write_page"](written), "run: make reference"
