"""The reference is what the docstrings say."""

import runpy
from pathlib import Path

import outlive

ROOT = Path(__file__).parents[1]
REFERENCE = runpy.run_path(str(ROOT / "scripts" / "reference.py"))


def test_the_reference_is_current():
    """Whoever changes a docstring or a parameter writes it anew: `make reference`."""
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == REFERENCE["write_reference"](), "run: make reference"


def test_the_reference_has_all_that_can_be_imported():
    """Every public name stands in it."""
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    missing = [name for name in outlive.__all__ if name.strip("_") not in written]
    assert missing == ["__version__"]
