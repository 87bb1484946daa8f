"""Uploads, and the stages of what is done with them, told to all who look."""

import os
import time
from pathlib import Path

import cherrypy

import outlive
from outlive.adapters.cherrypy import receive, respond

UPLOADS = {"kind": "upload"}
PAGE = Path(__file__).with_name("page.html")


def lengthy_operation(file: outlive.ReceivedFile) -> None:
    """Do something with the file, in ten stages."""
    for number in range(10):
        with outlive.stage(f"stage {number}"):
            time.sleep(float(os.environ.get("PAUSE", "2")))
    print(f"{file.name} has {len(file.read()):,} bytes")


class Root:
    """The page, and what its script asks for."""

    @cherrypy.expose
    def index(self) -> bytes:
        """Show the page."""
        return PAGE.read_bytes()

    @cherrypy.expose
    @cherrypy.config(**{"request.process_request_body": False})
    def upload(self) -> bytes:
        """Receive a file, and begin to work with it."""
        receive(lengthy_operation, labels=UPLOADS)
        return b"OK"

    @cherrypy.expose
    def stage(self) -> object:
        """Tell what happens to all uploads."""
        return respond(outlive.activity(labels=UPLOADS))


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8080"))
    cherrypy.config.update({"server.socket_port": port, "server.thread_pool": 50})
    # Of what comes in: it is 100 MB unless set.
    cherrypy.config.update({"server.max_request_body_size": 10 * 1000**3})
    cherrypy.quickstart(Root())
