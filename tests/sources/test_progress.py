"""Progress is found in what tqdm and rich draw, and in nothing else."""

import json
import multiprocessing
import sys
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import outlive as library
from outlive.entries import Kind
from outlive.journals.readers import Reader
from outlive.sources.progress import PAUSE_SECONDS, ROW_SIZE, STAGES, ProgressFinder
from outlive.stores import DirectoryStore
from tests.captures import entries_of

TQDM = """
from tqdm import tqdm
for _ in tqdm(range(50), desc="rows"): pass
for _ in tqdm(iter(range(7)), unit="page", desc="pages"): pass
with tqdm(total=5_000_000, unit="B", unit_scale=True, desc="dl: a.whl", ascii=True) as bar:
    for loss in range(4):
        bar.update(1_250_000)
        bar.set_postfix(loss=loss)
for _ in tqdm(range(2), desc="outer"):
    for _ in tqdm(range(3), desc="inner", leave=False, mininterval=0): pass
with tqdm(total=100, desc="cut short") as bar:
    bar.update(10)
for _ in tqdm(range(20)): pass
with tqdm(total=2, mininterval=0) as bar:
    for loss in (0.25, 0.125):
        bar.set_description(f"loss {loss}")
        bar.update()
"""

RICH = """
import time
from rich.progress import *
with Progress() as bars:
    first, second = bars.add_task("[red]Down load…", total=10), bars.add_task("Two", total=4)
    for _ in range(4):
        bars.update(first, advance=2)
        bars.update(second, advance=1)
        bars.refresh()
        bars.print("a line between")
columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
for total in (3, 30):
    with Progress(*columns) as bars:
        for _ in bars.track(range(total), description=f"{total} parts"): pass
with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn()) as bars:
    task = bars.add_task("file", total=5_000_000)
    bars.update(task, advance=2_500_000)
"""

FLOODS = [
    b"disk 95% full\n",
    b"45% of 100\n",
    b"2026-01-01 [00:01:02] INFO: 45/100 done, 45%\n",
    b"a | b | 45% | 45/100 [x]\n",
    b"progress: 45%| | ok\n",
    "━━━━━━━━━━━━━━ a title ━━━━━━━━━━━━━\n".encode(),
    "┏━━━━━━━━━┳━━━━━━━━┓\n┃ 45% ┃ 45/100 ┃\n┡━━━━━━━━━╇━━━━━━━━┩\n".encode(),
    b"\r          \r",
    b"took [00:04, 9.9 seconds]\n",
    b"\xff\xfe%|\x1b[",
]
BARS = [
    "\r 45%|████▌     | 45/100 [00:04<00:05,  9.90it/s]".encode(),
    "\rdl: 100%|\x1b[32m████\x1b[0m| 1.20M/1.20M [00:04<00:00, 0.30MB/s, x=1]".encode(),
    b"\rdl:  10%|#         | 5.00/50.0 [01:00:04<?, 2.50s/B]",
    b"\rpages: 45page [00:04, 9.90page/s]",
    b"\n\rinner:  33%|###   | 1/3 [00:00<00:00,  8.32it/s]\x1b[A",
    b"\n\r" + b" " * 50 + b"\x1b[A",
    "\r\x1b[2K\x1b[1A\x1b[2K\x1b[31mDown\x1b[0m \x1b[91m━━━━━╸━━━━\x1b[0m \x1b[35m 45%\x1b[0m 0:00:09\n".encode(),
    "\x1b[32m⠋\x1b[0m load ━━━━━━━━━━━━━━ 1.2/5.0 MB 3 MB/s\n".encode(),
    "     ━━━━━━━━━━━━━━━━━━━━━ 5/5 eta 0:00:00\n".encode(),
]


def last_of(payloads: list[bytes]) -> dict[str, dict[str, Any]]:
    """Return how far each stage came, by name."""
    return {stage["name"]: stage for stage in map(json.loads, payloads)}


def find(*texts: bytes, pause: float = PAUSE_SECONDS) -> list[bytes]:
    """Return what is found in texts that come one after the other."""
    finder = ProgressFinder()
    found = [
        entry for i, text in enumerate(texts) for entry in finder.find(Kind.OUT, text, 3, i * pause)
    ]
    found += finder.finish()
    assert all((kind, origin) == (Kind.STAGE, 3) for kind, _, origin in found)
    return [payload for _, payload, _ in found]


def drawn(stages: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Shorten stages to what is compared."""
    assert all(stage["parent"] is None for stage in stages.values())
    return {
        name: (stage["current"], stage["total"], stage["unit"], stage["done"])
        for name, stage in stages.items()
    }


TQDM_STAGES = {
    "rows": (50, 50, "it", True),
    "pages": (7, None, "page", False),
    "dl: a.whl": (5_000_000, 5_000_000, "B", True),
    "outer": (2, 2, "it", True),
    "inner": (3, 3, "it", True),
    "cut short": (10, 100, "it", False),
    "progress (20 it)": (20, 20, "it", True),
    "loss …": (2, 2, "it", True),
}
RICH_STAGES = {
    "Down load…": (80, 100, "%", False),
    "Two": (100, 100, "%", True),
    "3 parts": (3, 3, None, True),
    "30 parts": (30, 30, None, True),
    "file": (2.5, 5.0, "MB", False),
}
every_library = pytest.mark.parametrize(
    ("program", "stages"), [(TQDM, TQDM_STAGES), (RICH, RICH_STAGES)], ids=["tqdm", "rich"]
)


@every_library
def test_bars_in_a_terminal_are_stages(outlive, program, stages):
    """As a command behind a pseudo-terminal draws them, nothing told to it."""
    result = outlive("run", "--", sys.executable, "-c", program)
    assert result.returncode == 0
    store = DirectoryStore(outlive.store)
    entries = Reader(store.journal(store.find("last")))
    found = []
    while some := entries.read():
        found += [entry.payload for entry in some if entry.kind is Kind.STAGE]
    assert drawn(last_of(found)) == stages


def draw() -> None:
    """Draw all that tqdm can."""
    exec(TQDM, {})  # the same program


def draw_in_a_child(method: str) -> None:
    """Draw it in a process of multiprocessing."""
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=draw)
    child.start()
    child.join()


@pytest.mark.parametrize(
    "work",
    [draw, *(partial(draw_in_a_child, method) for method in ("fork", "spawn"))],
    ids=["a thread", "a forked child", "a spawned child"],
)
@pytest.mark.parametrize("isolation", [None, "process"], ids=["here", "isolated"])
def test_bars_of_work_are_stages(tmp_path, work, isolation):
    """What tqdm draws on the captured standard error is found, in whatever process that is."""
    store = DirectoryStore(tmp_path)
    run = library.start(work, title="bars", store=store, isolation=isolation)
    assert run.wait() is library.State.SUCCEEDED
    found = [entry.payload for entry in entries_of(run) if entry.kind is Kind.STAGE]
    assert drawn(last_of(found)) == TQDM_STAGES
    assert "\rrows: 100%|" in run.text(), "the text stays as it was drawn"


@given(st.data())
def test_how_text_is_cut_does_not_matter(data):
    """In the end, each stage is where the whole text says, wherever that was cut."""
    pieces = data.draw(st.lists(st.sampled_from(BARS + FLOODS), max_size=12))
    text = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    parts = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert last_of(find(*parts)) == last_of(find(text))


@given(st.lists(st.sampled_from(FLOODS) | st.binary(max_size=20), max_size=12))
def test_what_is_no_bar_is_no_stage(pieces):
    """A percentage in a log, a rule, a table, rubbish."""
    assert find(*pieces) == []


def test_there_may_be_any_number_of_bars_one_after_the_other():
    """Those that are done make room for others, however the text is cut."""
    bars = [
        b"\rx%d:   0%%|-| 0/1 [00:00<?, ?it/s]\rx%d: 100%%|#| 1/1 [00:00<00:00, 1it/s]\n" % (n, n)
        for n in range(3 * STAGES)
    ]
    for pieces in (bars, [b"".join(bars)]):
        assert drawn(last_of(find(*pieces))) == {
            f"x{number}": (1, 1, "it", True) for number in range(3 * STAGES)
        }


def test_each_bar_is_read():
    """Names, numbers with their scale, units, and what is done."""
    assert drawn(last_of(find(*BARS))) == {
        "progress (100 it)": (45, 100, "it", False),
        "dl": (5, 50, "B", False),
        "pages": (45, None, "page", False),
        "inner": (1, 3, "it", True),
        "Down": (45, 100, "%", False),
        "load": (1.2, 5, "MB", False),
        "progress (5)": (5, 5, None, True),
    }


def test_a_bar_is_within_the_stage_that_began_last():
    """And stays there, whatever begins before it is done; once that is done, it is outside."""
    finder = ProgressFinder()
    found: list[dict[str, Any]] = []

    def tell(name: str, parent: str | None, *, done: bool = False) -> None:
        facts = {"name": name, "parent": parent, "current": 0, "total": None, "unit": None}
        assert finder.find(Kind.STAGE, json.dumps({**facts, "done": done}).encode(), 0, 0.0) == []

    def draw(name: str, step: int) -> None:
        bar = f"\r{name}: {step}%|#| {step}/100 [00:04<00:05,  9.90it/s]".encode()
        stages = finder.find(Kind.ERR, bar, 0, float(len(found)))
        found.extend(json.loads(payload) for _, payload, _ in stages)

    draw("alone", 1)
    tell("import", None)
    tell("table", "import")
    draw("rows", 1)
    tell("other", "table")
    draw("rows", 100)
    tell("other", "table", done=True)
    tell("table", "import", done=True)
    draw("rows", 2)
    tell("import", None, done=True)
    draw("late", 3)
    places = {(each["name"], each["parent"]) for each in found}
    assert places == {("alone", None), ("rows", "table"), ("rows", "import"), ("late", None)}


def test_a_bar_tells_at_most_four_times_a_second():
    """But its end is told at once, and what was held back with the next text, or in the end."""
    finder = ProgressFinder()
    told = []
    for step in range(101):
        bar = b"\rx: %3d%%|#| %d/100 [00:04<00:05,  9.90it/s]" % (step, step)
        told += [
            json.loads(payload)["current"]
            for _, payload, _ in finder.find(Kind.ERR, bar, 0, step / 100)
        ]
    assert told == [0, 25, 50, 75, 100]
    assert finder.finish() == []
    assert finder.find(Kind.ERR, b"\rx:   0%|#| 0/100 [00:04<00:05,  9.90it/s]", 0, 1.01) == []
    assert len(finder.find(Kind.ERR, b"more\n", 0, 1.3)) == 1


def test_what_is_kept_is_bounded():
    """A row without end, and bars of ever new names, take no more than their share."""
    finder = ProgressFinder()
    for _ in range(100):
        finder.find(Kind.OUT, b"x" * 1000, 0, 0.0)
    (text,) = finder._texts.values()
    assert len(text._rest) <= ROW_SIZE + 2
    bars = [b"\rb%d: 4it [00:04, 9.9it/s]" % number for number in range(STAGES + 9)]
    assert len(last_of(find(*bars))) == STAGES
