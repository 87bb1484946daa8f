"""Workers that come and go, and servers that start anew, cost a viewer no line.

Without the engine they cost each a reconnect; with it, not even that.
"""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from outlive import platforms
from outlive.entries import End, Kind, RunRecord, State
from outlive.journals.base import Journal
from tests.adapters.serving import GUNICORN, Served, Server, body_of
from tests.helpers import eventually
from tests.standalone.viewers import Watching

FLASK = "tests.adapters.apps.flask_app"
THREADED = f"{GUNICORN} -k gthread --threads 16 {FLASK}:app"
RUN = "a" * 20
#: Seconds; a server that waited for its streams would take thirty, or for ever.
QUICKLY = 25


class Returning(Watching):
    """A viewer that comes back whenever its connection is lost, as an EventSource does."""

    async def _visit(self, patience: int | None) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await super()._visit(patience)


class Watched(NamedTuple):
    """A server, and three viewers of a run that somebody else writes."""

    served: Served
    write: Callable[[], None]
    viewers: list[Returning]


def visits(server: Server) -> int:
    """Count how often each viewer comes, where one worker takes the place of another."""
    return 1 if server.engine == "process" else 2


@contextlib.contextmanager
def watching(server: Server, folder: Path) -> Iterator[Watched]:
    """Serve and watch; at the end of the block the run ends, and nobody may have missed a line."""
    forms = ("sse", "entries", "ndjson")
    written: list[bytes] = []

    def write() -> None:
        written.append(b"%d\n" % len(written))
        writer.append(Kind.OUT, written[-1])

    # In this order: viewers wait for as long as there is a server.
    with ThreadPoolExecutor(len(forms)) as pool, Served(server, folder) as served:
        writer = served.store.create(RunRecord(id=RUN, title="x", started_at=1))
        url = f"{served.url.geturl()}{served.prefix}/live/runs/{RUN}"
        viewers = [Returning(url, form, random.Random(1), 0) for form in forms]
        write()
        leaving: list[Future[None]] = [pool.submit(asyncio.run, one.watch()) for one in viewers]
        try:
            eventually(lambda: all(one.text == b"0\n" for one in viewers))
            yield Watched(served, write, viewers)
            write()
            writer.close(End(State.SUCCEEDED, 0))
            for each in leaving:
                each.result(QUICKLY)
        finally:
            for one in viewers:
                one.ended = True
        assert served.stop(QUICKLY)
    assert all(one.text == b"".join(written) for one in viewers)
    assert [one.connects for one in viewers] == [visits(server)] * 3
    assert "Traceback" not in "".join(served.said)


def workers(served: Served) -> set[int]:
    """List the processes that the server started."""
    found = platforms.list_processes().values()
    return {process.pid for process in found if process.parent == served.process.pid}


def are_back(watched: Watched) -> bool:
    """Tell whether all viewers are there again, or still."""
    return all(viewer.connects == visits(watched.served.kind) for viewer in watched.viewers)


#: Whether the engine has the viewers, or a worker.
BOTH = pytest.mark.parametrize("engine", ["process", "off"])


@BOTH
def test_a_worker_that_has_served_enough_is_replaced(tmp_path, engine):
    """`--max-requests` counts a stream as one, and waits for none."""
    enough = Server(THREADED, "--max-requests 20 --max-requests-jitter 0", engine=engine)
    with watching(enough, tmp_path) as watched:
        (old,) = workers(watched.served)
        for _ in range(20):
            watched.write()
            with watched.served.ask("/watchers") as connection:
                connection.to_end()
        eventually(lambda: are_back(watched))
        eventually(lambda: old not in workers(watched.served), seconds=QUICKLY)


def test_more_viewers_than_a_worker_may_serve_come_to_the_end(tmp_path):
    """Each new worker is about to end at once, and gives something all the same."""
    few = Server(THREADED, "--max-requests 2")
    with ThreadPoolExecutor(8) as pool, Served(few, tmp_path) as served:
        writer = served.store.create(RunRecord(id=RUN, title="x", started_at=1))
        writer.append(Kind.OUT, b"0\n")
        url = f"{served.url.geturl()}{served.prefix}/live/runs/{RUN}"
        viewers = [Returning(url, "sse", random.Random(1), 0) for _ in range(8)]
        leaving = [pool.submit(asyncio.run, one.watch()) for one in viewers]
        try:
            eventually(lambda: all(one.text == b"0\n" for one in viewers), seconds=30)
            writer.append(Kind.OUT, b"1\n")
            writer.close(End(State.SUCCEEDED, 0))
            for each in leaving:
                each.result(30)
        finally:
            for one in viewers:
                one.ended = True
    assert all(one.text == b"0\n1\n" for one in viewers)


@BOTH
def test_a_worker_that_hangs_is_replaced(tmp_path, engine):
    """Once it was silent for longer than `--timeout`, here two seconds."""
    with watching(Server(THREADED, engine=engine), tmp_path) as watched:
        (old,) = workers(watched.served)
        os.kill(old, signal.SIGSTOP)
        watched.write()
        eventually(lambda: are_back(watched))
        eventually(lambda: old not in workers(watched.served))


@BOTH
def test_new_code_is_served_after_a_hangup(tmp_path, engine):
    """New workers are started by gunicorn, and the old ones end."""
    with watching(Server(THREADED, engine=engine), tmp_path) as watched:
        (old,) = workers(watched.served)
        watched.served.process.send_signal(signal.SIGHUP)
        eventually(lambda: are_back(watched), seconds=QUICKLY)
        eventually(lambda: old not in workers(watched.served), seconds=QUICKLY)


@BOTH
def test_new_code_is_served_after_a_change_in_development(tmp_path, engine):
    """Flask's own server starts anew, by itself."""
    code = tmp_path / "app.py"
    code.write_text(f"from {FLASK} import app\n")
    reloading = Server(f"flask --app {code} --debug run --port 0", version="1.1", engine=engine)
    with watching(reloading, tmp_path) as watched:
        (old,) = workers(watched.served)
        code.write_text(f"from {FLASK} import app  # changed\n")
        eventually(lambda: are_back(watched), seconds=QUICKLY)
        eventually(lambda: old not in workers(watched.served), seconds=QUICKLY)


def has_ended(journal: Journal) -> bool:
    """Tell whether a run has ended, or nobody writes it any more."""
    journal.settle()
    return journal.end() is not None


@pytest.mark.parametrize(
    ("wait", "state"), [("pass", State.CANCELLED), ("time.sleep(90)", State.LOST)]
)
def test_work_without_an_end_does_not_hold_up_new_code(tmp_path, wait, state):
    """It is asked to end; what does not hear that in time is left behind, with all that it wrote."""
    code = tmp_path / "app.py"
    code.write_text(
        f"import time, outlive\nfrom {FLASK} import app\n"
        f"def work():\n    while True:\n        yield 'line'\n        {wait}\n"
        "@app.get('/deep/start')\ndef start():\n    return outlive.start(work).id\n"
    )
    reloading = Server(f"flask --app {code} --debug run --port 0", version="1.1")
    with Served(reloading, tmp_path) as served:
        with served.ask("/start") as connection:
            journal = served.store.journal(body_of(connection).decode())
        code.write_text(f"from {FLASK} import app\n")
        eventually(lambda: has_ended(journal), seconds=QUICKLY)
        assert served.store.record(journal.run).end.state is state
        with served.ask("/watchers") as connection:
            connection.to_end()
        assert served.stop(QUICKLY)
    assert "Traceback" not in "".join(served.said)
