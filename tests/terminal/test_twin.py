"""The page draws in JavaScript what this package draws in Python: they must agree."""

import json
import subprocess
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright._impl._driver import compute_driver_executable

from tests.terminal.drawings import draw

# Whatever draws within a line. Only the page can go back to lines that are finished: so the cursor
# is restored where it was saved, and no screen is cleared that has nothing but empty lines.
_PIECES = [
    *["\n", "\r", "\r\n", "\b", "\x0b", "\0", "\x07", "\x01", "\x7f", "\x85", "\ufffd"],
    *[
        "\x1b[K",
        "\x1b[1K",
        "\x1b[2K",
        "\x1b[3G",
        "\x1b[2`",
        "\x1b[2D",
        "\x1b[C",
        "\x1b[999C",
        "\x1b[2X",
    ],
    *[
        "\x18\x1b7zz\x1b8",
        "\x18a\x1b[2J",
        "\x18a\x1b[?1049h",
        "\x18a\x1bc",
        "\x1bE",
        "\x1b[1J",
        "\x1b[3J",
    ],
    *[
        "\x1b[31m",
        "\x1b[0;1m",
        "\x1b[42;7m",
        "\x1b[38;5;208m",
        "\x1b[48:2::1:2:3m",
        "\x1b[38;2;9m",
        "\x1b[4:0m",
    ],
    *[
        "\x1b]8;;https://e.org\x07",
        "\x1b]8;;\x1b\\",
        "\x1b]8;;javascript:x\x07",
        "\x1b]0;t\x07",
        "\x1b]x",
    ],
    *[
        "\x1bPq#0\x1b\\",
        "\x1b_",
        "\x9c",
        "\x18",
        "\x1b[",
        "\x1b",
        "\x1b[>4m",
        "\x1b[?25l",
        "\x1b[3 q",
        "\x1b[1;",
    ],
    *[
        "\x1b(0",
        "\x1b(B",
        "lqk",
        "text",
        "  ",
        "日本",
        "e\u0301",
        "🎉",
        "é",
        "█▌",
        "\u200d",
        "x" * 40,
    ],
]
outputs = st.lists(st.sampled_from(_PIECES), max_size=25).map("".join)


@pytest.fixture(scope="module")
def twin():
    """Start the page's terminal; give a function that draws with it."""
    node, _ = compute_driver_executable()
    script = Path(__file__).with_name("twin.mjs")
    with subprocess.Popen(
        [node, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def draw_with_twin(text):
            stdin.write(json.dumps(text) + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

        yield draw_with_twin
        stdin.close()


@given(text=outputs)
def test_both_terminals_draw_the_same(twin, text):
    """Text, colours, attributes and links of each line, whatever sequences there are."""
    theirs = [[tuple(span) for span in line] for line in twin(text)]
    ours = [[(span.text, *span.style) for span in line.spans] for line in draw(text.encode())]
    assert [joined(line) for line in ours] == [joined(line) for line in theirs]


def joined(spans):
    """Join neighbours of one style: how many pieces a line is in says nothing."""
    return [
        ("".join(span[0] for span in same), *style)
        for style, same in groupby(spans, lambda span: span[1:])
    ]
