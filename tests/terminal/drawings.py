"""What tests of the terminal share."""

from outlive.terminal import PLAIN, Line, Span, Terminal


def draw(data: bytes, size: int = 1000) -> list[Line]:
    """Draw bytes that come `size` at a time: all lines, the unfinished one as the last."""
    terminal = Terminal()
    drawn: list[Line] = []
    for place in range(0, len(data), size):
        for item in terminal.write(data[place : place + size]):
            drawn += plain_lines(item) if isinstance(item, str) else [item]
    return [*drawn, current(terminal)]


def current(terminal: Terminal) -> Line:
    """Get the unfinished line, which may be empty."""
    return terminal.current() or Line([])


def plain_lines(text: str) -> list[Line]:
    """Make a line of each that was drawn without style."""
    return [Line([Span(line, PLAIN)] if line else []) for line in text.split("\n")[:-1]]


def lines_of(drawn: list[Line]) -> list[str]:
    """Get the text of lines."""
    return ["".join(span.text for span in line.spans) for line in drawn]
