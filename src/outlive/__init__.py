"""Live output of long-running work, in the browser: a run is a log, a viewer a cursor in it."""

__version__ = "0.1.0"

__all__ = ["__version__"]
