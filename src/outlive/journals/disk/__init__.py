"""Journals in files: one folder per run, segments that are only ever appended to."""

from .reading import DiskJournal
from .sharing import SharedJournal
from .writing import DiskWriter

__all__ = ["DiskJournal", "DiskWriter", "SharedJournal"]
