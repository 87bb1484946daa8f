"""A CherryPy application, on the server that comes with it."""

import functools

import cherrypy

from outlive.adapters.cherrypy import application, receive, respond
from tests.adapters.apps.work import PREFIX, begin, count_watchers, may, measure


class Root:
    """Views below a prefix."""

    def _work(self, kind: str, name: str):
        return respond(functools.partial(begin, kind, name), mark=(0.3, "*** Interval\n"))

    @cherrypy.expose
    def steps(self, name: str, **_: str):
        """Start work, and show it."""
        return self._work("steps", name)

    @cherrypy.expose
    def count(self, name: str, **_: str):
        """Start work that prints much."""
        return self._work("count", name)

    @cherrypy.expose
    @cherrypy.config(**{"request.process_request_body": False})
    def upload(self, name: str) -> bytes:
        """Receive a file, and tell what else was in the form."""
        receive(measure, title=name)
        return f"received {cherrypy.request.params.get('after')}".encode()

    @cherrypy.expose
    def watchers(self) -> bytes:
        """Count the streams that are open."""
        return count_watchers().encode()


if __name__ == "__main__":
    cherrypy.config.update({"server.socket_port": 0, "engine.autoreload.on": False})
    cherrypy.tree.graft(application(access=may), f"{PREFIX}/live")
    cherrypy.quickstart(Root(), PREFIX)
