"""Who listens: what tells a server that was stopped from one that has many connections."""

import socket
from pathlib import Path

import pytest

from outlive.pumps.engine.listeners import address_of, find_deserted, is_unbound


@pytest.mark.parametrize(
    ("listens", "connects"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2"),
        ("::1", "::1"),
        ("::", "::1"),
        ("::", "127.0.0.1"),
    ],
)
def test_a_port_is_deserted_once_nobody_listens(listens, connects):
    """Whether at one address or at all; connections that stay open do not count."""
    family = socket.AF_INET6 if ":" in listens else socket.AF_INET
    with socket.create_server(
        (listens, 0), family=family, dualstack_ipv6=listens == "::"
    ) as server:
        client = socket.create_connection((connects, server.getsockname()[1]))
        accepted, _ = server.accept()
        with client, accepted:
            address = address_of(accepted)
            assert address is not None
            assert find_deserted([address]) == set()
            server.close()
            assert find_deserted([address]) == {address}


def test_who_listens_at_another_address_or_port_does_not_count():
    """A port may be another server's at another address."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
    ):
        accepted, _ = server.accept()
        with accepted, socket.create_server(("127.0.0.2", server.getsockname()[1])):
            address = address_of(accepted)
            assert address is not None
            server.close()
            assert find_deserted([address]) == {address}


def test_a_path_is_deserted_once_nobody_has_bound_it(tmp_path: Path, monkeypatch):
    """A file that is left there says nothing; nor does another folder that one is in."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("server")
        server.listen()
        client.connect("server")
        accepted, _ = server.accept()
        with accepted:
            address = address_of(accepted)
            assert address is not None
            monkeypatch.chdir("/")
            assert find_deserted([address]) == set()
            # Bound where the path leads elsewhere: nobody could tell.
            assert address_of(accepted) is None
            server.close()
            assert find_deserted([address]) == {address}
            (tmp_path / "server").unlink()
            assert find_deserted([address]) == {address}


def test_what_has_no_name_is_never_deserted():
    """A pair has no listener, and an abstract one cannot be asked."""
    one, other = socket.socketpair()
    with one, other:
        assert address_of(one) is None
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("")
        server.listen()
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            assert address_of(accepted) is None


def test_one_who_is_asked_notices_nothing(tmp_path: Path):
    """No connection waits to be taken."""
    path = str(tmp_path / "server")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        assert not is_unbound(path)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
