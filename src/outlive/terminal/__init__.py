"""A terminal of one line: text with its escape sequences as styled lines, redraws folded."""

from .lines import Line, Span
from .screens import Terminal
from .styles import PLAIN, Flag, Style

__all__ = ["PLAIN", "Flag", "Line", "Span", "Style", "Terminal"]
