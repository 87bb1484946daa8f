"""The page on capturing can be typed as it stands."""

from pathlib import Path

from tests.documents import perform

CAPTURING = Path(__file__).parents[1] / "docs" / "capturing.md"


def test_the_page_on_capturing_can_be_typed_as_it_stands(tmp_path):
    """Every command prints what is shown."""
    assert perform(CAPTURING, tmp_path) == 5
