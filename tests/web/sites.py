"""Sites and requests for the tests of what is answered."""

from dataclasses import dataclass, field

from outlive.entries import End, Kind, RunRecord, State
from outlive.journals.base import JournalWriter
from outlive.stores import MemoryStore
from outlive.web.access import PUBLIC, Guard
from outlive.web.answers import Site, answer
from outlive.web.messages import Request, Response, Stream

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
LIVING, ENDED = "a" * 20, "b" * 20
TOKEN = "s3cret"
COOKIE = "outlive-1"


@dataclass
class Client:
    """Asks a site, without a server between them."""

    site: Site
    writers: dict[str, JournalWriter] = field(default_factory=dict)

    def ask(self, url: str, method: str = "GET", *, address: str = "", **headers: str) -> Response:
        """Ask for a URL; names of headers have underscores for hyphens."""
        path, _, query = url.partition("?")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(
            method=method, path=path, query_string=query, headers=named, address=address
        )
        return answer(request, self.site)

    def write(self, run: str, text: bytes) -> None:
        """Append output to a run."""
        self.writers[run].append(Kind.OUT, text)

    def close(self, run: str) -> None:
        """End a run well."""
        self.writers[run].close(End(State.SUCCEEDED, 0))


def make_client(*, guard: Guard | None = None, only: str | None = None) -> Client:
    """Make a site of one living and one ended run, and who asks it."""
    store = MemoryStore()
    client = Client(Site(store=store, access=PUBLIC, guard=guard, only=only))
    for place, run in enumerate((LIVING, ENDED)):
        record = RunRecord(id=run, title=f"run {run[0]}", started_at=place)
        client.writers[run] = store.create(record)
        client.write(run, b"one\ntwo\n")
    client.close(ENDED)
    return client


def headers_of(response: Response) -> dict[str, str]:
    """Get the headers of a response, of which none may come twice."""
    found = {name.lower(): value for name, value in response.headers}
    assert len(found) == len(response.headers)
    return found


def body_of(response: Response) -> bytes:
    """Get a body; of a stream, what is there without waiting."""
    if isinstance(response.body, bytes):
        return response.body
    (viewer,) = response.body
    return b"".join(viewer.take(viewer.feed.read(viewer.place), 0.0))


def shape_of(response: Response) -> str:
    """Tell which of the representations of a run this is."""
    media_type = headers_of(response)["content-type"].partition(";")[0]
    if isinstance(response.body, Stream):
        return type(response.body.viewer.format).__name__.removesuffix("Format").lower()
    shapes = {
        "text/html": "page",
        "application/json": "json",
    }
    return shapes[media_type]
