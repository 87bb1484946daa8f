"""The request that CherryPy is answering."""

from __future__ import annotations

from typing import Any

import cherrypy

from ...errors import ConfigError

__all__ = ["current_request"]


def current_request() -> Any:  # noqa: ANN401 - CherryPy has no types
    """Get the current request; raises ConfigError where there is none."""
    request = cherrypy.serving.request
    if request.app is None:
        raise ConfigError("there is no request here: respond() and receive() are for page handlers")
    return request
