"""The page about commands shows what happens."""

from pathlib import Path

from tests.documents import perform

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"


def test_the_page_about_commands_shows_what_happens(tmp_path):
    """Every command prints what is shown."""
    assert perform(PAGE, tmp_path) == 6
