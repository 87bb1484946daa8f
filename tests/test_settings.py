"""Options have a name, an environment variable and a default."""

from pathlib import Path

import pytest

from outlive.errors import ConfigError
from outlive.settings import HOST, PORT, SERVE_PORT, STORE, default_store


@pytest.mark.parametrize("option", [STORE, HOST, PORT, SERVE_PORT], ids=lambda option: option.name)
def test_the_environment_beats_the_default(option, monkeypatch):
    """A variable that is set and not empty counts; otherwise the default does."""
    monkeypatch.delenv(option.variable, raising=False)
    assert option.value() == option.default
    monkeypatch.setenv(option.variable, "")
    assert option.value() == option.default
    monkeypatch.setenv(option.variable, "something")
    assert option.value() == "something"


def test_the_users_store_is_in_the_state_directory(monkeypatch):
    """XDG_STATE_HOME counts where it is absolute; otherwise ~/.local/state does."""
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert default_store() == "/var/state/outlive"
    monkeypatch.setenv("HOME", "/home/somebody")
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert default_store() == "/home/somebody/.local/state/outlive"


def test_without_a_home_the_store_must_be_named(monkeypatch):
    """Where there is no home directory, the error says what to do."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ConfigError, match="--store"):
        default_store()
