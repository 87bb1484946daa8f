"""Pages that need no JavaScript."""

from .lists import render_list
from .pages import HtmlFormat

__all__ = ["HtmlFormat", "render_list"]
