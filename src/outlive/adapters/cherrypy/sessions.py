"""Sessions of CherryPy: neither a stream nor an upload keeps their other requests waiting."""

from __future__ import annotations

import cherrypy

__all__ = ["save_session"]


def save_session() -> bool:
    """Save the session of this request, and unlock it; tells whether it was locked."""
    session = getattr(cherrypy.serving, "session", None)
    if session is None:
        return False
    was_locked: bool = session.locked
    session.save()
    # Or it would be saved once more at the end, over what others have put into it meanwhile.
    session.loaded = False
    return was_locked
