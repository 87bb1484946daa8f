"""The page's terminal is tested in its own language, by the Node.js that Playwright brings."""

import re
import subprocess
from pathlib import Path

from playwright._impl._driver import compute_driver_executable


def test_the_terminal_of_the_page_draws_what_a_terminal_would():
    """Run `terminal.test.mjs` and show what failed."""
    node, _ = compute_driver_executable()
    script = Path(__file__).with_name("terminal.test.mjs")
    done = subprocess.run(
        [node, "--test", str(script)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\bfail 0$", done.stdout, re.MULTILINE), done.stdout
