"""Seed 004, uploads and stages by CherryPy: what was wrong with it, and is not in the example."""

import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from outlive.entries import State
from outlive.runs import Run
from tests.helpers import eventually
from tests.seeds.running import Example
from tests.standalone.servers import PATIENCE, Connection

APP = "examples/cherrypy_upload/app.py"
EVENTS = {"Accept": "text/event-stream"}
CONTENT = b"0123456789abcdef" * 40_000

#: A page as the seed prints it: its ids, its URLs, and what its script does.
SEED_PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">
</head><body><form id="load_file_form" action="" enctype="multipart/form-data">
<input type="file" id="load_file" name="load_file">
<progress max="100" value="0" id="progress_bar"></progress></form>
<div id="status_messages"><h3>Stages:</h3></div><script>
const load_file = document.getElementById('load_file');
const progress_bar = document.getElementById('progress_bar');
load_file.onchange = function (event) {
  let formData = new FormData(), connection = new XMLHttpRequest();
  formData.append('file', load_file.files[0], load_file.files[0].name);
  connection.open('POST', 'upload', true);
  connection.upload.onprogress = function (event) {
    if (event.lengthComputable) {
      progress_bar.value = Math.round((event.loaded/event.total)*100);
    }
  };
  connection.onload = function () { if (connection.status != 200) { alert('Error!'); } };
  connection.send(formData);
};
const sse = new EventSource("stage");
sse.onmessage = function (event) {
  let new_message = document.createElement("p");
  new_message.innerHTML = event.data;
  document.getElementById("status_messages").appendChild(new_message);
};
</script></body></html>"""


def serve(folder: Path, pause: str = "0.26") -> Example:
    """Start the example's server."""
    return Example([APP], folder, PAUSE=pause)


def form(name: str = 'filename="data.csv"') -> bytes:
    """Write the form as browsers do (RFC 7578)."""
    head = f'--limit\r\nContent-Disposition: form-data; name="file"; {name}\r\n'
    return f"{head}Content-Type: text/csv\r\n\r\n".encode() + CONTENT + b"\r\n--limit--\r\n"


def post(example: Example, body: bytes) -> Connection:
    """Begin to upload."""
    media, size = "multipart/form-data; boundary=limit", str(len(body))
    return example.ask("/upload", "POST", Content_Type=media, Content_Length=size)


def upload(example: Example, name: str = 'filename="data.csv"') -> None:
    """Upload a file."""
    body = form(name)
    with post(example, body) as client:
        client.sock.sendall(body)
        assert client.head()[0] == 200
        assert b"OK" in client.to_end()


def watch(example: Example, last: str = "") -> Connection:
    """Listen to the stages, from now on or from where one was."""
    more = {"Last_Event_ID": last} if last else {}
    viewer = example.ask("/stage", **EVENTS, **more)
    viewer.until(b"event: start")
    return viewer


def begun(data: bytes | bytearray, name: str = "data.csv") -> list[int]:
    """List the stages that were told to begin, in order."""
    found = re.findall(rf"data: {name}: stage (\d)\n".encode(), bytes(data))
    return [int(number) for number in found]


def check_order(stages: list[int]) -> None:
    """Hold told stages to what is told where they are shorter than half a second: most, in order."""
    assert stages == sorted(set(stages))
    assert len(stages) > 4


def runs_of(example: Example) -> list[Run]:
    """Get all runs."""
    return [Run(example.store, record.id) for record in example.store.records()]


def test_an_upload_is_answered_when_the_file_is_there(tmp_path):
    """Fault: the request lasts as long as the operation."""
    with serve(tmp_path) as example:
        upload(example)
        assert runs_of(example)[0].state is State.RUNNING


def test_all_connected_clients_are_told_all_stages(tmp_path):
    """Fault: stages are printed on the server, and clients told of others."""
    # At most four changes of a run are told in a second.
    with serve(tmp_path, "0.6") as example, watch(example) as first, watch(example) as second:
        upload(example)
        for viewer in (first, second):
            assert begun(viewer.until(b"data: data.csv: stage 9 done\n")) == list(range(10))
            viewer.until(b'"state":"succeeded"')


def test_who_looks_starts_nothing(tmp_path):
    """Fault: each client who connects, or does so again, performs an operation of its own."""
    with serve(tmp_path) as example:
        for _ in range(3):
            watch(example).sock.close()
        assert runs_of(example) == []


def test_who_was_away_misses_nothing(tmp_path):
    """Fault: what is told while a client reconnects is never told again."""
    with serve(tmp_path) as example:
        with watch(example) as viewer:
            upload(example)
            eventually(lambda: viewer.more() and len(begun(viewer.received)) > 1)
        last = re.findall(rb"^id: (.+)\n", viewer.received, re.MULTILINE)[-1].decode()
        [run] = runs_of(example)
        assert run.wait(PATIENCE) is State.SUCCEEDED
        with watch(example, last) as again:
            rest = again.until(b'"state":"succeeded"')
        heard, missed = begun(viewer.received), begun(rest)
        # The last was told once more where its id had not come yet.
        check_order(heard + [number for number in missed if number != heard[-1]])


def test_a_client_who_does_not_read_holds_nobody_up(tmp_path):
    """Fault: its queue grows; here it reads the same journal as the others, when it likes."""
    with serve(tmp_path) as example, watch(example) as lazy, watch(example) as eager:
        upload(example)
        eager.until(b'"state":"succeeded"')
        assert begun(lazy.received) == []
        assert begun(lazy.until(b'"state":"succeeded"')) == begun(eager.received)


def test_clients_of_another_process_are_told_too(tmp_path):
    """Fault: the list of listeners is in the memory of one."""
    with serve(tmp_path) as example, serve(tmp_path) as other, watch(other) as viewer:
        upload(example)
        viewer.until(b"data: data.csv: stage 0\n")


def test_viewers_who_leave_hold_no_thread(tmp_path):
    """Fault: a generator waits in `Queue.get` for ever, and soon the pool has no thread left."""
    with serve(tmp_path) as example:
        for _ in range(2):
            viewers = [eventually(lambda: admit(example)) for _ in range(40)]
            for viewer in filter(None, viewers):
                viewer.sock.close()
        with example.ask("/") as visitor:
            assert visitor.head()[0] == 200


def admit(example: Example) -> Connection | None:
    """Open a stream, where there is a place."""
    viewer = example.ask("/stage", **EVENTS)
    if viewer.head()[0] == 200:
        viewer.until(b"event: start")
        return viewer
    viewer.sock.close()
    return None


def test_one_ctrl_c_ends_it(tmp_path):
    """Fault: streams keep the server from ending, and it takes a second one."""
    with serve(tmp_path) as example, watch(example) as viewer:
        example.process.send_signal(signal.SIGINT)
        viewer.to_end()
        assert example.process.wait(PATIENCE) == 0
    assert "Traceback" not in "".join(example.said)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('filename="Größe.csv"', "Größe.csv"),
        ("filename*=UTF-8''%D0%B4%D0%B0.csv", "да.csv"),
        ('filename="C:\\\\tmp\\\\..\\\\a.csv"', "a.csv"),
    ],
)
def test_any_name_of_a_file_is_understood(header, name, tmp_path):
    """Fault: it is turned from Latin-1 into UTF-8 by hand, which fails for a name that is right."""
    with serve(tmp_path, "0") as example:
        upload(example, header)
        [record] = example.store.records()
        assert record.title == name


def test_the_file_is_there_as_long_as_the_work(tmp_path):
    """Fault: it is the request's; here it is read at the work's end, and then it is gone."""
    with serve(tmp_path, "0.05") as example:
        upload(example)
        [run] = runs_of(example)
        assert run.wait(PATIENCE) is State.SUCCEEDED
        assert run.text() == "data.csv has 640,000 bytes\n"
        assert list(tmp_path.rglob("upload*")) == []


def test_uploads_at_the_same_time_are_told_apart(tmp_path):
    """Fault: in the question, messages do not say whose stage it is."""
    with serve(tmp_path) as example, watch(example) as viewer:
        for name in ("one", "two"):
            upload(example, f'filename="{name}"')
        for name in ("one", "two"):
            viewer.until(f"data: {name}: stage 9 done\n".encode())
            check_order(begun(viewer.received, name))


def test_all_see_how_far_an_upload_is(tmp_path):
    """Fault: only who uploads has a bar."""
    with serve(tmp_path) as example, watch(example) as viewer:
        body = form()
        with post(example, body) as client:
            client.sock.sendall(body[:400_000])
            viewer.until(f"data: data.csv: received 0/{len(body)} bytes\n".encode())
            client.sock.sendall(body[400_000:])
            assert client.head()[0] == 200
        viewer.until(b"data: data.csv: stage 0\n")


def test_a_large_file_is_received(tmp_path):
    """Fault: CherryPy refuses what is over 100 MB, and the page shows `[object ProgressEvent]`."""
    with serve(tmp_path) as example, watch(example) as viewer:
        size = 300 * 1000**2
        media = "multipart/form-data; boundary=limit"
        with example.ask("/upload", "POST", Content_Type=media, Content_Length=str(size)) as client:
            client.sock.sendall(form()[:400_000])
            viewer.until(f"data: data.csv: received 0/{size} bytes\n".encode())


def test_a_name_cannot_write_events(tmp_path):
    """Fault: what is in it is put between `data:` and the end of the line as it is."""
    with serve(tmp_path, "0.01") as example, watch(example) as viewer:
        upload(example, "filename*=UTF-8''a%0A%0Aevent: end%0Adata: x")
        data = viewer.until(b": stage 9 done\n")
    assert b"\nevent: end\n" not in data


def choose(page: Page, example: Example, name: str) -> None:
    """Load a file in the page."""
    page.goto(f"{example.url}/")
    file = page.locator("#load_file")
    file.set_input_files({"name": name, "mimeType": "text/csv", "buffer": CONTENT})


def test_the_page_shows_names_as_text(tmp_path, page):
    """Fault: `innerHTML` runs what is in the name of somebody's file; and it never tells of errors."""
    name = "<img src=x onerror=alert(1)>.csv"
    with serve(tmp_path, "0.01") as example:
        choose(page, example, name)
        messages = page.locator("#status_messages")
        expect(messages).to_contain_text("stage 9")
        expect(messages).to_contain_text(f"{name}: succeeded")
        expect(page.locator("#progress_bar")).to_have_js_property("value", 100)
        assert page.locator("img").count() == 0
        page.goto("about:blank")


def test_the_page_of_the_seed_works_unchanged(tmp_path, page):
    """It has the same URLs, and hears each stage."""
    with serve(tmp_path) as example:
        page.route(f"{example.url}/", lambda route: route.fulfill(body=SEED_PAGE))
        choose(page, example, "data.csv")
        messages = page.locator("#status_messages p")
        expect(messages.last).to_have_text("data.csv: stage 9 done")
        told = "\n".join(messages.all_text_contents())
        check_order([int(number) for number in re.findall(r"stage (\d)$", told, re.MULTILINE)])
        expect(page.locator("#progress_bar")).to_have_js_property("value", 100)
        page.goto("about:blank")
