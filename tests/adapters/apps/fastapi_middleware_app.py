"""The FastAPI application behind all middleware that people put before one."""

from fastapi import Request
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import Response

from tests.adapters.apps.fastapi_app import app


async def count_visits(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Keep something in the session, and tell how often somebody came."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    response = await call_next(request)
    response.headers["visits"] = str(request.session["visits"])
    return response


app.add_middleware(BaseHTTPMiddleware, dispatch=count_visits)
app.add_middleware(GZipMiddleware, minimum_size=1)
app.add_middleware(SessionMiddleware, secret_key="secret")
app.add_middleware(CORSMiddleware, allow_origins=["https://example.org"])
