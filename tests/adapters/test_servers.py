"""What holds in every framework, on every server, over real sockets and under a prefix."""

import asyncio
import contextlib
import itertools
import json
import secrets
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import pytest

from outlive.entries import End, Kind, RunRecord, State
from outlive.formats import FORMATS
from outlive.journals.base import JournalWriter
from tests.adapters.serving import ALL, SERVERS, Served, body_of
from tests.helpers import eventually
from tests.standalone.servers import Connection
from tests.standalone.viewers import watch_all

DONE = End(State.SUCCEEDED, 0)
EVENTS = {"Accept": "text/event-stream"}
BROWSER = {"Accept": "text/html,*/*;q=0.8", "Sec_Fetch_Mode": "navigate"}

LINE = "y" * 99 + "\n"
#: With the engine and without it, where the others are with it.
ANYHOW = pytest.mark.parametrize("served", ALL, indirect=True)
SINGLE = [name for name, kind in ALL.items() if kind.processes == 1]


def new_name() -> str:
    """Name work that nobody else does."""
    return secrets.token_hex(4)


def ids_of(data: bytes) -> list[str]:
    """Get the ids of a stream of events."""
    return [line[4:].decode() for line in data.split(b"\n") if line.startswith(b"id: ")]


@ANYHOW
@pytest.mark.parametrize("accept", ["text/plain", "text/event-stream", "application/x-ndjson"])
def test_each_line_is_there_before_the_next_is_written(served, accept):
    """Nobody on the way keeps anything back."""
    name = new_name()
    with served.ask(f"/steps/{name}", Accept=accept) as viewer:
        for number in range(1, 4):
            served.step(name, number)
            viewer.until(b"line %d" % number)
        served.step(name, "end")
        viewer.to_end()


@pytest.mark.parametrize("name", [name for name in ALL if ALL[name].version == "1.0"])
def test_lost_connections_lose_and_repeat_nothing(serve, name):
    """Viewers of three formats are cut at random, and resume."""
    served = serve(name)
    url = f"{served.url.geturl()}{served.prefix}/count/{new_name()}"
    viewers = asyncio.run(watch_all(url, 3, cuts=4, seed=served.url.port))
    for viewer in viewers:
        assert bytes(viewer.text) == b"".join(b"%d\n" % number for number in range(20_000))


def test_who_has_everything_is_told_to_stop(served):
    """An EventSource would come again for ever, and start the work anew."""
    name = new_name()
    served.step(name, "1")
    served.step(name, "end")
    with served.ask(f"/steps/{name}", **EVENTS) as viewer:
        last = ids_of(viewer.to_end())[-1]
    with served.ask(f"/steps/{name}", Last_Event_ID=last, **EVENTS) as viewer:
        status, headers = viewer.head()
        assert (status, viewer.to_end()) == (204, b"")
        assert "content-length" not in headers


def test_a_browser_is_sent_to_its_run_and_reloads_it(served):
    """What it went to by link or by form."""
    name = new_name()
    served.step(name, "1")
    served.step(name, "end")
    for method in ("GET", "POST"):
        with served.ask(f"/steps/{name}?x=1", method, Content_Length="0", **BROWSER) as viewer:
            status, headers = viewer.head()
        assert status == 303
        place = urljoin(f"{served.prefix}/steps/{name}", headers["location"])
        place = place.removeprefix(served.prefix)
        assert place.startswith(f"/steps/{name}?x=1&from=")
        for _ in range(2):
            with served.ask(place, **BROWSER) as viewer:
                assert viewer.head()[1]["content-type"].startswith("text/html")
                assert viewer.to_end().count(b"line 1\n") == 1
    with served.ask("/live/", Accept="application/json") as viewer:
        runs = json.loads(body_of(viewer))["runs"]
    assert [run["title"] for run in runs].count(name) == 2


def test_head_starts_nothing(served):
    """It is answered at once, with the headers of a stream, in every format."""
    name = new_name()
    for form, kind in FORMATS.items():
        with served.ask(f"/steps/{name}?format={form}", "HEAD") as viewer:
            status, headers = viewer.head()
            assert (status, viewer.to_end()) == (200, b"")
        # Of a stream, none is true.
        assert "content-length" not in headers
        assert headers["content-type"].replace(";", "; ").split() == kind.media_type.split()
        assert headers["cache-control"] == "no-store, no-transform"
    assert name not in [record.title for record in served.store.records()]


def test_a_post_starts_work_and_leads_to_its_run(served):
    """Whoever sends it: a reload, or the browser's way back, must not send it again."""
    name = new_name()
    served.step(name, "end")
    for accept in ("*/*", "text/event-stream", "text/html"):
        with served.ask(f"/steps/{name}", "POST", Content_Length="0", Accept=accept) as viewer:
            status, headers = viewer.head()
        assert status == 303
        assert headers["location"].startswith("?from=")
    assert name in [record.title for record in served.store.records()]


def test_what_work_raises_is_its_end(served):
    """The run has the traceback; the response has its proper end, and the server no error."""
    name = new_name()
    served.step(name, 1)
    served.step(name, "fail")
    with served.ask(f"/steps/{name}", **EVENTS) as viewer:
        status, _ = viewer.head()
        body = viewer.to_end()
    assert status == 200
    assert body.index(b"data: line 1\n") < body.index(b"data: ArithmeticError: the work broke\n")
    end = json.loads(body.partition(b"event: end\ndata: ")[2].partition(b"\n")[0])
    assert (end["state"], end["error"]) == ("failed", "ArithmeticError: the work broke")
    assert "ArithmeticError" not in "".join(served.said)


@ANYHOW
@pytest.mark.parametrize(
    "text",
    ["", "no newline", "größer 漢字 \x85\u2028 🎉\n", "x" * 5_000_000 + "\n" + LINE * 450_000],
    ids=["nothing", "open", "scripts", "huge"],
)
def test_all_that_is_written_arrives(served, text):
    """Byte by byte: nothing, other scripts, 50 MB with a line of five."""
    name = new_name()
    if text:
        served.step(name, 1, text)
    served.step(name, "end")
    with served.ask(f"/steps/{name}?format=text") as viewer:
        assert hash(body_of(viewer).replace(b"*** Interval\n", b"")) == hash(text.encode())


@pytest.mark.parametrize("name", sorted(set(ALL) - set(SINGLE)))
def test_work_of_one_process_is_shown_by_all(serve, name):
    """Each process holds one stream at a time: so many at once are one in each."""
    served, work = serve(name), new_name()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(served.ask(f"/steps/{work}", **EVENTS))
        served.step(work, 1)
        start = ids_of(first.until(b"line 1"))[0]
        others = [
            stack.enter_context(served.ask(f"/steps/{work}?format=ndjson&from={start}"))
            for _ in range(served.kind.processes - 1)
        ]
        for viewer in (first, *others):
            viewer.until(b"line 1")
        served.step(work, 2)
        for viewer in (first, *others):
            viewer.until(b"line 2")
        served.step(work, "end")


def test_a_silence_is_marked(served):
    """And marks are no lines of the run."""
    name = new_name()
    with served.ask(f"/steps/{name}") as viewer:
        eventually(lambda: viewer.more() and viewer.received.count(b"*** Interval\n") > 1)
        served.step(name, "1")
        viewer.until(b"line 1\n")
        served.step(name, "end")
        viewer.to_end()


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("accept", ["text/event-stream", "text/plain"])
def test_a_viewer_who_vanishes_leaves_nothing(serve, name, accept):
    """A heartbeat finds out; without one, whoever looks after the connection, as its row says."""
    served = serve(name)
    eventually(lambda: served.watchers() == 0)
    said = len(served.said)
    with writing(served) as (run, _):
        viewers = [served.ask(f"/live/runs/{run}", Accept=accept) for _ in range(3)]
        for viewer in viewers:
            viewer.until(b"line 1\n")
        assert served.watchers() == 3
        for viewer in viewers:
            viewer.sock.close()
        # Ten times as long, for a busy machine: where nothing is written, nothing else would tell.
        eventually(lambda: served.watchers() == 0, seconds=10 * served.kind.notices)
    assert "Traceback" not in "".join(served.said[said:])


@contextlib.contextmanager
def writing(served: Served) -> Iterator[tuple[str, JournalWriter]]:
    """Write a run's first line, and its end when the block is left."""
    run = secrets.token_hex(10)
    writer = served.store.create(RunRecord(id=run, title="x", started_at=1))
    writer.append(Kind.OUT, b"line 1\n")
    try:
        yield run, writer
    finally:
        writer.close(DONE)


@ANYHOW
def test_one_viewer_too_many_is_told_to_come_again(served):
    """As many as the row says can watch, and another one once somebody has left."""
    if served.kind.processes == 1:
        # Those of other tests may have to be noticed yet.
        eventually(lambda: served.watchers() == 0)
    with writing(served) as (run, _), contextlib.ExitStack() as stack:
        watching = []
        for _ in range(served.viewers):
            # One after the other: some servers let five wait to be accepted.
            watching.append(stack.enter_context(served.ask(f"/live/runs/{run}?format=sse")))
            watching[-1].until(b"line 1")
        with served.ask(f"/live/runs/{run}?format=sse") as viewer:
            viewer.sock.settimeout(5)
            status, headers = viewer.head()
        assert (status, headers["retry-after"]) == (503, "5")
        watching[0].sock.close()
        eventually(lambda: is_admitted(served, run))


def is_admitted(served: Served, run: str) -> bool:
    """Ask for a stream; tell whether it comes."""
    with served.ask(f"/live/runs/{run}?format=sse") as viewer:
        return viewer.head()[0] == 200


def test_the_page_is_there_under_its_prefix(served):
    """Its links are relative, and without its slash it leads to itself."""
    with served.ask("/live") as viewer:
        status, headers = viewer.head()
    assert status in (301, 303, 307, 308)
    assert urljoin(f"{served.url.geturl()}{served.prefix}/live", headers["location"]).endswith(
        f"{served.prefix}/live/"
    )
    with served.ask("/live/", Accept="text/html") as viewer:
        assert viewer.head()[0] == 200
        assert b'src="static/' in viewer.to_end()
    with served.ask("/live/static/page.css") as viewer:
        assert viewer.head()[0] == 200


def test_what_happens_to_all_runs_is_told(served):
    """To whom access allows it, long after the view has returned."""
    name = new_name()
    with served.ask("/live/activity", **EVENTS) as viewer:
        viewer.until(b"event: start")
        run = secrets.token_hex(10)
        served.store.create(RunRecord(id=run, title=name, started_at=1)).close(DONE)
        viewer.until(name.encode())


def test_access_is_decided_before_the_first_byte(served):
    """With a status of its own."""
    for path, status in (("/live/", 403), ("/live/activity", 403), ("/live/runs/x", 404)):
        with served.ask(path, Stranger="yes") as viewer:
            assert viewer.head()[0] == status


def read_and_close(viewer: Connection) -> None:
    """Read to the end, and close, as a client does."""
    viewer.to_end()
    viewer.sock.close()


@pytest.mark.parametrize("name", ALL)
def test_open_streams_do_not_keep_a_server_from_ending(name, tmp_path):
    """Ten of them are cut, and are not waited for."""
    forms = itertools.cycle(["text", "sse", "ndjson", "html"])
    with (
        Served(ALL[name], tmp_path) as served,
        writing(served) as (run, _),
        ThreadPoolExecutor(10) as pool,
    ):
        count = min(10, served.viewers)
        viewers = [served.ask(f"/live/runs/{run}?format={next(forms)}") for _ in range(count)]
        for viewer in viewers:
            viewer.until(b"line 1")
        leaving = [pool.submit(read_and_close, viewer) for viewer in viewers]
        assert served.stop(served.kind.ends)
    assert all(future.exception() is None for future in leaving)
    assert "Traceback" not in "".join(served.said)


@pytest.mark.parametrize(
    "name", ["Flask on its own server", "Flask on waitress", "CherryPy on its own server"]
)
def test_one_ctrl_c_is_enough(name, tmp_path):
    """Though viewers watch; none of these is killed by it, as others are by SIGTERM."""
    with Served(SERVERS[name], tmp_path) as served, writing(served) as (run, _):
        with served.ask(f"/live/runs/{run}?format=sse") as viewer:
            viewer.until(b"line 1")
            served.process.send_signal(signal.SIGINT)
            served.process.wait(4)
            viewer.to_end()
        assert "Traceback" not in "".join(served.said)


def test_silence_is_survived_as_long_as_the_row_says(serve):
    """What servers limit, here to two seconds, are requests that hang; a heartbeat is no silence."""
    # The engine's heart cannot be hurried: that of real viewers is for the test below.
    names = [name for name, kind in ALL.items() if not (kind.nginx and kind.lets_go)]
    check_silence(map(serve, names), 4)


@pytest.mark.torture
@pytest.mark.timeout(180)
def test_real_silence_is_survived_as_long_as_the_row_says(tmp_path):
    """With the heartbeat and the patience that users have."""
    names = [name for name, kind in SERVERS.items() if kind.nginx]
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(Served(SERVERS[name], tmp_path / str(place), hurried=False))
            for place, name in enumerate(names)
        ]
        check_silence(servers, 70)


def check_silence(servers: Iterable[Served], seconds: float) -> None:
    """Be silent on all servers at once, and then write."""
    with contextlib.ExitStack() as stack:
        watching = []
        for served, form in itertools.product(servers, ("text", "sse")):
            run, writer = stack.enter_context(writing(served))
            viewer = stack.enter_context(served.ask(f"/live/runs/{run}?format={form}"))
            viewer.until(b"line 1\n")
            watching.append((served.kind, form, viewer, writer))
        until = time.monotonic() + seconds
        eventually(lambda: time.monotonic() > until, seconds=2 * seconds)
        for *_, writer in watching:
            writer.append(Kind.OUT, b"line 2\n")
        for kind, form, viewer, _ in watching:
            if form == "text" and kind.silence is not None:
                assert b"line 2" not in viewer.to_end()
            else:
                viewer.until(b"line 2\n")
