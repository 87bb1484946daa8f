"""A handler of `http.server`, on its server with a thread per connection."""

import functools
from http.server import ThreadingHTTPServer

import outlive
from outlive.adapters.http_server import OutliveHandler, respond
from tests.adapters.apps.work import PREFIX, begin, count_watchers, may, measure


class Handler(OutliveHandler, access=may, prefix=f"{PREFIX}/live"):
    """Views below a prefix, and the page."""

    def do_GET(self) -> None:
        """Answer all methods."""
        place, _, name = self.path.partition("?")[0].removeprefix(f"{PREFIX}/").partition("/")
        if place in ("steps", "count"):
            respond(self, functools.partial(begin, place, name), mark=(0.3, "*** Interval\n"))
        elif place in ("watchers", "upload"):
            if place == "upload":
                size = int(self.headers["Content-Length"])
                outlive.receive(self.rfile, measure, size=size, title=name)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(count_watchers().encode())
        else:
            super().do_GET()

    do_HEAD = do_POST = do_PUT = do_GET


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
