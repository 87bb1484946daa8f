"""How text is measured."""

from hypothesis import given
from hypothesis import strategies as st

from outlive.journals.base import count_newlines


@given(
    st.lists(st.sampled_from([b"\n", b"x" * 7 + b"\n", b"x" * 99 + b"\n", b"\0" * 5000, b"\r"])),
    st.integers(1, 50),
)
def test_newlines_are_counted_however_long_lines_are(pieces, times):
    """As `bytes.count` does, whichever way is taken."""
    data = b"".join(pieces) * times
    assert count_newlines(data) == data.count(b"\n")
