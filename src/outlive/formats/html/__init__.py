"""A page that needs no JavaScript."""

from .pages import HtmlFormat

__all__ = ["HtmlFormat"]
