"""A WSGI application without a framework; as a program, served by wsgiref."""

import functools
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.util import shift_path_info
from wsgiref.validate import validator

import outlive
from outlive.adapters.wsgi import application, respond
from tests.adapters.apps.work import PREFIX, begin, count_watchers, may, measure

live = application(access=may)


def app(environ, start_response):
    """Answer below a prefix: views, and the application that is mounted."""
    assert f"/{shift_path_info(environ)}" == PREFIX
    place = shift_path_info(environ)
    if place == "live":
        return live(environ, start_response)
    if place in ("steps", "count"):
        name = environ["PATH_INFO"].lstrip("/")
        start = functools.partial(begin, place, name)
        return respond(environ, start_response, start, mark=(0.3, "*** Interval\n"))
    if place == "upload":
        size, name = int(environ["CONTENT_LENGTH"]), environ["PATH_INFO"].lstrip("/")
        outlive.receive(environ["wsgi.input"], measure, size=size, title=name)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [count_watchers().encode()]


class Server(ThreadingMixIn, WSGIServer):
    """A thread per connection."""

    daemon_threads = True


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, validator(app), Server, WSGIRequestHandler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
