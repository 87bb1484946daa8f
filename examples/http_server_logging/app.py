"""Log records of long-running work, live in the browser, by the standard library's own server."""

import contextlib
import logging
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import outlive
from outlive.adapters.http_server import respond

FORMATTER = logging.Formatter(
    "%(asctime)s.%(msecs)03d - %(name)s - %(levelname)s - %(message)s", "%Y-%m-%d %H:%M:%S"
)


def import_clients() -> None:
    """Log, as any code does."""
    for number in range(1, 4):
        logging.getLogger("import").info("log %d", number)
        time.sleep(float(os.environ.get("PAUSE", "1")))


class Handler(BaseHTTPRequestHandler):
    """Start work for whoever comes, and show what it logs."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        if self.path.partition("?")[0] != "/":
            self.send_error(404)
            return
        respond(
            self, lambda: outlive.start(import_clients, level=logging.INFO, formatter=FORMATTER)
        )

    do_HEAD = do_POST = do_GET


if __name__ == "__main__":
    address = ("127.0.0.1", int(os.environ.get("PORT", "8000")))
    with ThreadingHTTPServer(address, Handler) as server, contextlib.suppress(KeyboardInterrupt):
        print(f"Open http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()
