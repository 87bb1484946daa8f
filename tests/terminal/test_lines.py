"""Lines are drawn as a terminal draws them; the cases are those of the page's terminal."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.terminal import Flag, Line, Span, Style, Terminal
from outlive.terminal.cells import width
from tests.terminal.drawings import current, draw, lines_of

# name, what is written, the lines that are drawn
DRAWN = [
    ("plain lines", "one\ntwo\n", ["one", "two", ""]),
    ("an unfinished line", "one\ntw", ["one", "tw"]),
    ("nothing", "", [""]),
    ("CRLF", "one\r\ntwo\r\n", ["one", "two", ""]),
    ("CR overwrites by cells", "12345\rab", ["ab345"]),
    ("CR alone changes nothing", "12345\r", ["12345"]),
    ("CR twice before LF", "12345\r\r\nx", ["12345", "x"]),
    ("a bar as tqdm draws it", "  1%|#   |\r 50%|##  |\r100%|####|\n", ["100%|####|", ""]),
    ("CR, erase, shorter text", "12345\r\x1b[Kab", ["ab"]),
    ("CR, erase below, shorter text", "12345\r\x1b[Jab", ["ab"]),
    ("backspace", "abc\b\bX", ["aXc"]),
    ("backspace stops at the margin", "a\b\b\b\bX", ["X"]),
    ("a tab stays a tab", "a\tb", ["a\tb"]),
    ("a tab under an overwrite is blanks", "a\tb\rX", ["X       b"]),
    ("a tab moves over what is there", "12345678901\r\tX", ["12345678X01"]),
    ("erase to the end", "12345\x1b[3D\x1b[K", ["12"]),
    ("erase to the start", "12345\x1b[3D\x1b[1K", ["   45"]),
    ("erase the line", "12345\x1b[2Kx", ["     x"]),
    ("erase characters", "12345\x1b[4D\x1b[2X", ["1  45"]),
    ("insert characters", "12345\x1b[4D\x1b[2@ab", ["1ab2345"]),
    ("delete characters", "12345\x1b[4D\x1b[2P", ["145"]),
    ("to a column", "12345\x1b[2GX", ["1X345"]),
    ("to a column behind the end", "1\x1b[5GX", ["1   X"]),
    ("up and down stay in the line", "one\ntwo\x1b[9A\r\x1b[2BX", ["one", "Xwo"]),
    ("previous and next line begin this one", "two\x1b[FX\x1b[EY", ["Ywo"]),
    ("scrolling and margins are nothing", "a\x1b[2S\x1b[T\x1b[0;23r\x1b[Lb", ["ab"]),
    ("clear is a new screen, not an eraser", "one\n\x1b[H\x1b[2Jtwo", ["one", "two"]),
    ("clear ends the line", "one\x1b[2Jtwo", ["one", "two"]),
    ("home ends the line", "one\x1b[Htwo", ["one", "two"]),
    ("to a place", "\x1b[3;4Hx", ["   x"]),
    ("save and restore", "ab\x1b7cd\x1b8X", ["abXd"]),
    ("save and restore far out", "y" * 500 + "\x1b7\rx\x1b8X", ["x" + "y" * 499 + "X"]),
    ("save and restore, ANSI", "ab\x1b[scd\x1b[uX", ["abXd"]),
    ("a bar drawn elsewhere", "\x1b7\x1b[24;0fbar 10%\x1b8line\n", ["line", ""]),
    ("restored in a later line", "ab\x1b7\ncd\x1b8X", ["ab", "cdX"]),
    ("another screen is a new one too", "one\x1b[?1049htwo\x1b[?1049lx", ["one", "two", "x"]),
    ("cursor hidden and shown", "a\x1b[?25lb\x1b[?25h", ["ab"]),
    ("private sequences that end in m are no colours", "\x1b[>4;1ma", ["a"]),
    ("a title", "\x1b]0;title\x07a", ["a"]),
    ("a title ended by ST", "\x1b]0;title\x1b\\a", ["a"]),
    ("a stray OSC loses one line, not the log", "\x1b]junk\nnext", ["", "next"]),
    ("DCS, APC, PM, SOS", "\x1bPq#\nx\x1b\\a\x1b_k\x1b\\b\x1b^p\x1b\\c\x1bXs\x1b\\d", ["abcd"]),
    ("charsets", "\x1b(Ba\x1b)0b", ["ab"]),
    ("line drawing", "\x1b(0lqk\x1b(Bq", ["┌─┐q"]),
    ("CAN ends a sequence", "\x1b[31\x18a", ["a"]),
    ("a line's end within a sequence", "a\x1b[3\n1mb", ["a", "b"]),
    ("ESC within a sequence starts anew", "\x1b[31\x1b[1ma", ["a"]),
    ("what no sequence can have is text", "\x1b[31日", ["日"]),
    ("nor has an escape a character outside ASCII", "\x1b🎉\x1b(🎉", ["🎉🎉"]),
    ("a tab within a sequence", "a\x1b[3\t1mb", ["a\tb"]),
    ("NUL and BEL are nothing", "a\0\x07b", ["ab"]),
    ("other controls are shown", "a\x01\x7fb\x85", ["a␁␡b\ufffd"]),
    ("a wide character takes two cells", "日本\x1b[3GX", ["日X"]),
    ("half of a wide character is blank", "日本\rX", ["X 本"]),
    ("the other half too", "日本\x1b[2GX", [" X本"]),
    ("an emoji is wide", "🎉a\x1b[3Gb", ["🎉b"]),
    ("a combining mark joins", "e\u0301x\x1b[2Gy", ["e\u0301y"]),
    ("a combining mark joins while overwriting", "abc\re\u0301", ["e\u0301bc"]),
    ("blanks at the end of a redraw are cut", "12345\rab   ", ["ab"]),
]

BOLD, DIM, ITALIC, UNDERLINE = Flag.BOLD, Flag.DIM, Flag.ITALIC, Flag.UNDERLINE
INVERSE, STRIKE, HIDDEN = Flag.INVERSE, Flag.STRIKE, Flag.HIDDEN

# name, what is written, the style of its last character
STYLED = [
    ("plain", "a", Style()),
    ("red", "\x1b[31ma", Style(fg=1)),
    ("bright on bright", "\x1b[91;104ma", Style(fg=9, bg=12)),
    (
        "every attribute",
        "\x1b[1;2;3;4;7;8;9ma",
        Style(flags=BOLD | DIM | ITALIC | UNDERLINE | INVERSE | HIDDEN | STRIKE),
    ),
    ("attributes end", "\x1b[1;2;3;4;7;8;9m\x1b[22;23;24;27;28;29ma", Style()),
    ("reset", "\x1b[1;31m\x1b[ma", Style()),
    ("reset within", "\x1b[1;0;32ma", Style(fg=2)),
    ("default colours", "\x1b[31;41m\x1b[39;49ma", Style()),
    ("256, of the sixteen", "\x1b[38;5;9ma", Style(fg=9)),
    ("256, of the cube", "\x1b[38;5;208ma", Style(fg="#ff8700")),
    ("256, grey", "\x1b[48;5;232ma", Style(bg="#080808")),
    ("256, colons", "\x1b[38:5:208ma", Style(fg="#ff8700")),
    ("true colour", "\x1b[38;2;1;2;3;1ma", Style(fg="#010203", flags=BOLD)),
    ("true colour, colons", "\x1b[38:2:1:2:3ma", Style(fg="#010203")),
    ("true colour, a colour space", "\x1b[48:2::255:128:0ma", Style(bg="#ff8000")),
    ("true colour out of range", "\x1b[38;2;999;0;0ma", Style(fg="#ff0000")),
    ("true colour cut short", "\x1b[38;2;9ma", Style(fg="#090000")),
    ("colour of an underline", "\x1b[4:3;58;5;1;31ma", Style(fg=1, flags=UNDERLINE)),
    ("no underline", "\x1b[4m\x1b[4:0ma", Style()),
    ("unknown numbers", "\x1b[31;73;999ma", Style(fg=1)),
    ("the style goes on in the next line", "\x1b[31mx\n\na", Style(fg=1)),
    ("a link", "\x1b]8;id=1;https://e.org/a?b\x1b\\a", Style(link="https://e.org/a?b")),
    ("a link ends", "\x1b]8;;https://e.org\x07b\x1b]8;;\x07a", Style()),
    (
        "a link outlives a reset",
        "\x1b]8;;http://e.org\x07\x1b[31mb\x1b[0ma",
        Style(link="http://e.org"),
    ),
    ("no link to a script", "\x1b]8;;javascript:alert(1)\x07a", Style()),
    ("no link to data", "\x1b]8;;data:text/html,x\x07a", Style()),
    ("no link with blanks", "\x1b]8;;https://e.org/ onclick=x\x07a", Style()),
]


@pytest.mark.parametrize(("written", "lines"), [c[1:] for c in DRAWN], ids=[c[0] for c in DRAWN])
@pytest.mark.parametrize("size", [1, 1000], ids=["by the byte", "at once"])
def test_a_line_is_what_a_terminal_shows_at_its_end(written, lines, size):
    """However it arrives: a sequence or a character that is cut goes on."""
    assert lines_of(draw(written.encode(), size)) == lines


@pytest.mark.parametrize(("written", "style"), [c[1:] for c in STYLED], ids=[c[0] for c in STYLED])
@pytest.mark.parametrize("size", [1, 1000], ids=["by the byte", "at once"])
def test_text_has_the_style_that_was_set(written, style, size):
    """SGR and OSC 8 as xterm reads them."""
    last = draw(written.encode(), size)[-1].spans[-1]
    assert last.text[-1] == "a"
    assert last.style == style


@pytest.mark.parametrize(
    ("char", "cells"),
    [
        *[("a", 1), ("é", 1), ("日", 2), ("한", 2), ("🎉", 2), ("\u0301", 0), ("\u200d", 0)],
        *[("─", 1), ("█", 1), ("✓", 1), ("\uff08", 2)],
    ],
)
def test_a_character_has_the_width_that_terminals_give_it(char, cells):
    """East Asian and emoji take two cells, marks none."""
    assert width(char) == cells


_PIECES = [
    *[
        "\n",
        "\r",
        "\r\n",
        "\b",
        "\t",
        "\x1b[K",
        "\x1b[2K",
        "\x1b[1K",
        "\x1b[3G",
        "\x1b[2D",
        "\x1b[C",
    ],
    *[
        "\x1b[31m",
        "\x1b[0m",
        "\x1b]8;;https://e.org\x07",
        "\x1b]x",
        "\x1b\\",
        "\x1bP",
        "\x1b[",
        "\x1b",
    ],
    *[
        "\x1b7",
        "\x1b8",
        "\x1b[5;5H",
        "\x1b[2J",
        "\x1b(0",
        "\x1b(B",
        "\x18",
        "\0",
        "\x1b[2@",
        "\x1b[P",
    ],
    *["text", "  ", "日本", "e\u0301", "🎉", "\x85", "x" * 40],
]
output = st.lists(
    st.sampled_from(_PIECES).map(str.encode) | st.binary(max_size=4), max_size=30
).map(b"".join)


@given(data=output, cuts=st.lists(st.integers(0, 300), max_size=6))
def test_a_drawing_does_not_depend_on_how_output_was_split(data, cuts):
    """Any bytes, cut anywhere, are the same lines."""
    terminal = Terminal()
    drawn: list[Line | str] = []
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, stop in pairwise(places):
        drawn += terminal.write(data[start:stop])
    drawn += terminal.cut_off()
    whole = Terminal()
    at_once = whole.write(data) + whole.cut_off()
    assert flat(drawn) == flat(at_once)


def flat(drawn: list[Line | str]) -> list[tuple]:
    """Give each line as its spans, whether it was drawn alone or among plain ones."""
    found: list[tuple] = []
    for item in drawn:
        if isinstance(item, str):
            found += [((text, Style()),) if text else () for text in item.split("\n")[:-1]]
        else:
            found.append(tuple(tuple(span) for span in item.spans))
    return found


def test_writers_do_not_disturb_each_others_characters_sequences_and_colours():
    """Two of them may write into one line."""
    terminal = Terminal()
    terminal.write(b"\x1b[3", "a")
    terminal.write(b"\xe2\x82", "b")
    terminal.write(b"1mred", "a")
    terminal.write(b"\xac", "b")
    spans = current(terminal).spans
    assert [(span.text, span.style.fg) for span in spans] == [("red", 1), ("€", None)]


def test_a_line_belongs_to_who_began_it():
    """Its tag is that of the first text in it."""
    terminal = Terminal()
    terminal.write(b"one", "a", "first")
    drawn = terminal.write(b"two\n\x1b[1mthree\n", "b", "second")
    assert [line.tag for line in drawn if isinstance(line, Line)] == ["first", "second"]


def test_cutting_off_ends_line_sequence_and_colour():
    """What follows a gap has nothing to do with what was before it."""
    terminal = Terminal()
    terminal.write(b"abc\x1b[31mdef\xe2\x82\x1b[3")
    [line] = flat(terminal.cut_off())
    assert "".join(text for text, _ in line) == "abcdef\ufffd"
    terminal.write(b"1mred")
    assert current(terminal) == Line([Span("1mred", Style())])
    assert terminal.cut_off()
    assert terminal.cut_off() == []


@pytest.mark.parametrize("size", [1000, 65520, 65521, 10**6])
@pytest.mark.parametrize("start", ["", "\x1b[31m", "x\n"])
def test_a_long_line_is_cut_and_says_by_how_much(size, start):
    """Nothing grows without bound, however the line came."""
    for chunk in (777, 10**7):
        [*_, line, _] = draw(start.encode() + b"x" * size + b"\n", chunk)
        kept = "".join(span.text for span in line.spans)
        assert len(kept) == min(size, 65520)
        assert len(kept) + line.cut == size


def test_a_line_cut_short_is_whole_again_after_it_was_erased():
    """The redrawn line has lost nothing."""
    terminal = Terminal()
    terminal.write(b"x" * 100000)
    assert current(terminal).cut
    terminal.write(b"\r\x1b[Kok")
    assert current(terminal) == Line([Span("ok", Style())])


@pytest.mark.parametrize("opening", [b"\x1b[", b"\x1b]8;;", b"\x1bP"])
def test_an_unfinished_sequence_does_not_eat_the_log(opening):
    """It is given up, and little is kept of it meanwhile."""
    terminal = Terminal()
    terminal.write(opening)
    for _ in range(100):
        terminal.write(b"1" * 10000)
        [writer] = terminal._channels.values()
        assert len(writer.parser._held) <= 4096
    terminal.write(b"\nend")
    assert current(terminal).spans[0].text == "end"


def test_the_number_of_writers_is_bounded():
    """Colours of the first of very many are forgotten, rather than kept for ever."""
    terminal = Terminal()
    for number in range(10000):
        terminal.write(b"\x1b[31m", number)
    assert len(terminal._channels) <= 64


# What would be quadratic, or would pad without end, in a careless emulator. Each is some MB.
HOSTILE = {
    "far columns": b"\x1b[99999999Gx\n" * 20000,
    "far rows": b"\x1b[99999999;1Hx" * 50000,
    "combining marks": b"e" + "\u0301".encode() * 200000,
    "redraws of a long line": b"y" * 60000 + b"\r\x1b[1K\x1b7x\x1b8" * 40000,
    "erasing a long line from its end": b"y" * 60000 + b"\x1b[1Kx" * 40000,
    "erasing and padding": b"y" * 60000 + b"\x1b[2Kx" * 40000,
    "inserting": b"y" * 60000 + b"\r\x1b[99@" * 40000,
    "deleting": b"y" * 60000 + b"\r\x1b[P" * 40000,
    "colours": b"".join(b"\x1b[38;2;%d;%d;1mx" % (i & 255, i >> 8 & 255) for i in range(50000)),
    "clears": b"x\x1b[2J" * 50000,
    "carriage returns": b"0123456789" * 8 + b"\r50%|#####" * 200000,
    "saves and restores": b"y" * 60000 + b"\x1b7\r\x1b8z\x1b[K" * 40000,
    "single characters": b"x\b" * 200000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_output_takes_linear_time(data):
    """No limit here: what is quadratic takes minutes, and a test has one of its own."""
    draw(data, 65536)
