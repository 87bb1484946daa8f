"""What of the page needs no browser is tested in its own language, by Playwright's Node.js."""

import re
import subprocess
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

SCRIPTS = sorted(Path(__file__).parent.glob("*.test.mjs"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_scripts_of_the_page_do_what_their_tests_say(script):
    """Run one and show what failed."""
    node, _ = compute_driver_executable()
    done = subprocess.run(
        [node, "--test", str(script)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\bfail 0$", done.stdout, re.MULTILINE), done.stdout
