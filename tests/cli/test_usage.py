"""Bad usage is answered by one clear line and exit code 2; help is there."""

import os
import socket
import subprocess

import pytest

from outlive.cli import main
from tests.programs import Outlive

SUBCOMMANDS = ["run", "pipe", "serve", "list", "show", "follow", "cancel"]


@pytest.fixture(autouse=True)
def _store(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTLIVE_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("OUTLIVE_PORT", raising=False)
    monkeypatch.delenv("OUTLIVE_HOST", raising=False)


def call(*arguments):
    """Call the program in this process; returns its exit code."""
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize(
    "arguments",
    [
        ("bogus",),
        ("--bogus",),
        *[(name, "--bogus") for name in SUBCOMMANDS],
        *[(name, "--store") for name in SUBCOMMANDS],
        *[(name,) for name in ("show", "follow", "cancel")],
        ("run",),
        ("run", "--"),
        ("run", "--title", "x"),
        ("run", "--bogus", "--", "true"),
        ("run", "--timeout", "soon", "--", "true"),
        ("run", "--timeout", "-1", "--", "true"),
        ("run", "--timeout", "nan", "--", "true"),
        ("run", "--timeout", "inf", "--", "true"),
        ("run", "--silence", "soon", "--", "true"),
        ("run", "--quota", "much", "--", "true"),
        ("run", "--linger", "1e12", "--", "true"),
        ("run", "--label", "x", "--", "true"),
        ("run", "--label", "=x", "--", "true"),
        ("run", "--linger", "x", "--", "true"),
        ("run", "--port", "x", "--", "true"),
        ("run", "--port", "65536", "--", "true"),
        ("run", "--port", "9" * 5000, "--", "true"),
        ("run", "--port", "-1", "--", "true"),
        ("run", "--cwd", "/nowhere", "--", "true"),
        ("run", "--cwd", "/dev/null", "--", "true"),
        ("run", "--host", "host.invalid", "--", "true"),
        ("run", "--no-auth", "--host", "0.0.0.0", "--", "true"),
        ("pipe", "--no-auth", "--host", "192.0.2.1"),
        ("serve", "--no-auth", "--host", "::"),
        ("pipe", "more"),
        ("pipe", "--timeout", "1"),
        ("serve", "--linger", "1"),
        ("list", "more"),
        ("show", "a", "b"),
        ("follow", "--tail", "x", "last"),
        ("follow", "--tail", "-1", "last"),
        ("list", "--store", "redis://localhost"),
        ("list", "--store", "/dev/null"),
        ("list", "--store", "redis://a\nb\x1b[2J"),
        ("run", "--store", "/dev/null/store", "--", "true"),
        ("run", "--store", "/dev/null", "--", "true"),
        ("run", "--store", "/proc/store", "--", "true"),
    ],
    ids=" ".join,
)
def test_bad_usage_is_one_clear_line(arguments, capfd):
    """What is wrong is said in one line on standard error; nothing runs."""
    assert call(*arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("outlive")
    assert "Traceback" not in err
    assert call("list") == 0
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("variable", ["OUTLIVE_PORT", "OUTLIVE_HOST", "OUTLIVE_STORE"])
def test_a_bad_environment_is_bad_usage(variable, monkeypatch, capfd):
    """What the environment says wrongly is said as clearly as a wrong option."""
    monkeypatch.setenv(variable, {"OUTLIVE_STORE": "ftp://x"}.get(variable, "host.invalid"))
    assert call("run", "--", "true") == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1, err


@pytest.mark.parametrize("name", ["run", "pipe", "serve"])
def test_a_port_that_is_taken_is_named(name, capfd):
    """Nothing is run, and nothing recorded, where the page cannot be served."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert call(name, "--port", port, *(["--", "true"] if name == "run" else [])) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert f"port {port}: address already in use" in err
    call("list")
    assert capfd.readouterr().out == ""


def test_a_store_of_a_newer_version_is_refused(tmp_path, capfd):
    """A layout that this version does not know is not touched."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text('{"format": 99, "id": "x"}')
    assert call("run", "--", "true") == 2
    err = capfd.readouterr().err
    assert "format 99" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["show", "follow", "cancel"])
@pytest.mark.parametrize("run", ["last", "abc", "", "../x", "/", ".", "a" * 5000])
def test_an_unknown_run_is_one_clear_line(name, run, capfd):
    """A run that is not there is said to be not there."""
    assert call(name, run) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["show", "follow", "cancel"])
def test_an_ambiguous_name_is_refused(name, tmp_path, capfd):
    """The beginning of several ids names none of them."""
    outlive = Outlive(tmp_path / "store")
    outlive("run", "--", "true")
    run = outlive.record()["id"]
    folder = outlive.store / "runs"
    (folder / (run[:5] + "0" * 15)).mkdir()
    assert call(name, run[:5]) == 1
    assert "2 runs begin like this" in capfd.readouterr().err
    outlive.close()


@pytest.mark.parametrize("arguments", [("--help",), *[(name, "--help") for name in SUBCOMMANDS]])
def test_help_is_there(arguments, capfd):
    """Each subcommand tells how it is used."""
    assert call(*arguments) == 0
    out, err = capfd.readouterr()
    assert out.startswith("usage: outlive")
    assert "--store" in out
    assert err == ""


def test_the_version_is_told(capfd):
    """--version prints the package's version."""
    assert call("--version") == 0
    assert capfd.readouterr().out.startswith("outlive 0.")


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_store_may_be_named_before_the_subcommand_or_after_it(place, tmp_path, capfd):
    """--store means the same in both places."""
    other = str(tmp_path / "other")
    arguments = ["--store", other, "list"] if place == "before" else ["list", "--store", other]
    call("run", "--store", other, "--", "true")
    assert call(*arguments) == 0
    assert capfd.readouterr().out.endswith("true\n")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("named", [True, False], ids=["named", "of the environment"])
def test_looking_at_a_store_that_is_not_there_makes_none(tmp_path, capfd, named):
    """It says where on stderr, for it may be the wrong one or a slip of the pen, and lists nothing."""
    store = tmp_path / ("other" if named else "store")
    assert call("list", "--json", *(["--store", str(store)] if named else [])) == 0
    output = capfd.readouterr()
    assert output.out == "[]\n"
    assert output.err == f"outlive: there is no store at {store} yet\n"
    assert not store.exists()


def test_no_home_directory_is_needed_where_a_store_is_named(tmp_path, capfd, monkeypatch):
    """A user without a home, as in many containers, names a store; otherwise it is said so."""

    def no_home(path):
        return path

    monkeypatch.setattr(os.path, "expanduser", no_home)
    assert call("list", "--store", str(tmp_path / "store")) == 0
    monkeypatch.delenv("OUTLIVE_STORE")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert call("list") == 2
    assert "--store" in capfd.readouterr().err


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", ">/dev/full"])
def test_closed_streams_are_no_accident(tmp_path, redirection):
    """Where nobody reads what is said, the exit code is the same, and nothing else is said."""
    outlive = Outlive(tmp_path / "store")
    result = outlive.shell(
        "outlive run --pipe -- true 2>&-\n"
        f"for arguments in list 'show bogus' --bogus; do outlive $arguments {redirection}; "
        "echo $? >&2; done"
    )
    said = result.stderr.decode().splitlines()
    is_full = "full" in redirection
    assert [line for line in said if line.isdigit()] == ["1" if is_full else "0", "1", "2"]
    others = [line for line in said if not line.isdigit()]
    assert all(line.startswith("outlive") for line in others), said
    assert ("outlive: No space left on device" in others) == is_full
    outlive.close()


def test_a_list_that_nobody_reads_to_its_end_dies_of_the_pipe(tmp_path):
    """`outlive list | true` is silent, as any program there."""
    outlive = Outlive(tmp_path / "store")
    outlive("run", "--title", "x" * 100_000, "--", "true")
    result = outlive.shell("outlive list | head -c 1; echo ${PIPESTATUS[0]}")
    assert result.stdout.endswith(b"141\n")
    assert result.stderr == b""
    outlive.close()


def test_bad_usage_stays_bad_usage_as_a_process(tmp_path):
    """The whole program, from its start, behaves the same."""
    result = subprocess.run(Outlive.command("show"), capture_output=True, check=False, text=True)
    assert result.returncode == 2
    assert result.stderr == (
        "outlive show: the following arguments are required: RUN (see outlive show --help)\n"
    )


def test_a_store_that_cannot_be_looked_at_is_named(capfd):
    """A folder that nobody may enter, or a name that no system can have."""
    name = f"/{'x' * 300}"
    assert call("list", "--store", name) == 2
    assert capfd.readouterr().err == f"outlive: cannot use the store {name}: File name too long\n"
