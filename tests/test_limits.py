"""Limits are told in the words they were given in, and a quota loses nothing silently."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outlive.cli.arguments import parse_size
from outlive.supervisors.limits import Limits, Quota


@given(st.lists(st.text(max_size=20)), st.integers(0, 200))
@example(["\n", ""], 0)
def test_a_quota_keeps_a_beginning_and_counts_the_rest(texts, limit):
    """What is kept and what is told of as missing are together what came; no character is cut."""
    quota, everything = Quota(limit), "".join(texts).encode()
    kept = b"".join(quota.admit(text.encode()) for text in texts)
    assert everything.startswith(kept)
    assert len(kept) <= limit
    kept.decode()
    excess, rest = quota.excess(), everything[len(kept) :]
    if len(everything) <= limit:
        assert (kept, excess) == (everything, None)
    else:
        assert excess is not None
        assert (excess.bytes, excess.lines) == (
            len(rest),
            len(rest.split(b"\n")) - rest.endswith(b"\n"),
        )


@pytest.mark.parametrize(
    ("given", "size", "told"),
    [
        ("500MB", 500_000_000, "500 MB"),
        ("2GiB", 2 << 30, "2 GiB"),
        ("1.5k", 1500, "1500 B"),
        ("64 KiB", 65_536, "64 KiB"),
        ("1gb", 10**9, "1 GB"),
        ("0", 0, "0 B"),
    ],
)
def test_a_size_is_told_as_it_was_given(given, size, told):
    """In decimal or binary units."""
    assert parse_size(given) == size
    assert Limits(quota=size).describe("quota") == f"it wrote more than its limit of {told}"
