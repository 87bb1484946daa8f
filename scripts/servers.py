"""Write the table of docs/servers.md out of what the tests assert: `make reference`."""

import sys
from pathlib import Path

from tests.adapters.serving import ALL, SERVERS, WITHOUT, Server

TARGET = Path(__file__).parents[1] / "docs" / "servers.md"
BEGIN, END = "<!-- make reference -->\n", "<!-- end -->\n"
HEAD = """\
| framework | server | set | viewers at once | without the engine | silence in `text` | gone is noticed | asked to end, ends | uploads are seen |
|---|---|---|---|---|---|---|---|---|
"""


def write_row(name: str, kind: Server) -> str:
    """Write what a server can do."""
    framework, _, server = name.partition(" on ")
    options = f"`{kind.options}`" if kind.options else ""
    silence = "any" if kind.silence is None else f"{kind.silence:g} s"
    uploads = "as they come" if kind.uploads else "once they are there"
    cells = (
        framework,
        server,
        options,
        write_viewers(kind),
        write_held(kind, WITHOUT[name]) if kind.lets_go else "the same",
        silence,
        f"within {kind.notices:g} s",
        f"within {kind.ends:g} s",
        uploads,
    )
    return f"| {' | '.join(cells)} |\n"


def write_viewers(kind: Server) -> str:
    """Write how many may watch."""
    if kind.lets_go:
        return "thousands"
    return "any" if kind.viewers is None else str(kind.viewers)


def write_held(kind: Server, held: Server) -> str:
    """Write how many may watch where each holds a thread, and what is set for them."""
    more = f", `{held.options}`" if held.options != kind.options else ""
    return f"{write_viewers(held)}{more}"


def write_exceptions(name: str, kind: Server) -> str:
    """Write what it cannot do."""
    return "".join(f"\n{name}: {reason}.\n" for reason in kind.cannot.values())


def write_page(text: str) -> str:
    """Write the page anew, with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    rows = "".join(write_row(*item) for item in SERVERS.items())
    exceptions = "".join(write_exceptions(*item) for item in ALL.items())
    return f"{before}{BEGIN}{HEAD}{rows}{exceptions}{END}{after}"


if __name__ == "__main__":
    TARGET.write_text(write_page(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{TARGET}\n")
