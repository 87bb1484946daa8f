"""`outlive prune`: what it removes, and what it says."""

import re

import pytest

from outlive.stores import DirectoryStore


def test_prune_says_in_one_line_what_it_removed(outlive):
    """And what it would; the runs that are left are those that should be."""
    for number in range(4):
        outlive("run", "--title", f"{number}", "--label", f"odd={number % 2}", "--", "true")
    told = outlive("prune", "--keep", "1", "--label", "odd=0", "--dry-run")
    assert re.fullmatch(rb"would remove 1 run \(\d+ B\)\n", told.stdout)
    assert len(DirectoryStore(outlive.store).ids()) == 4
    told = outlive("prune", "--keep", "1", "--label", "odd=0")
    assert re.fullmatch(rb"removed 1 run \(\d+ B\)\n", told.stdout)
    assert titles(outlive) == ["3", "2", "1"]
    assert outlive("prune", "--older-than", "7d").stdout == b"removed nothing\n"
    told = outlive("prune", "--max-size", "1kB")
    assert re.fullmatch(rb"removed 2 runs \(\d+\.?\d* k?B\)\n", told.stdout)
    assert titles(outlive) == ["3"]
    assert outlive("prune", "--older-than", "0s").returncode == 0
    assert titles(outlive) == []


def titles(outlive) -> list[str]:
    """List the runs' titles, the newest first."""
    return [run.title for run in DirectoryStore(outlive.store).records()]


def test_a_living_run_is_never_pruned(outlive):
    """Whatever the bounds are."""
    process = outlive.start("run", "--", "sleep", "300")
    run = outlive.run_of(process)
    arguments = ("--keep", "0", "--older-than", "0s", "--max-size", "0")
    assert outlive("prune", *arguments).stdout == b"removed nothing\n"
    assert outlive.record(run)["state"] == "running"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what may go: --older-than, --keep or --max-size"),
        (("--label", "a=b"), "say what may go"),
        (("--older-than", "7"), "give a duration as in 7d, 12h or 30m"),
        (("--older-than", "d"), "give a duration"),
        (("--keep", "-1"), "--keep"),
        (("--keep", "x"), "give a number"),
        (("--max-size", "x"), "give a size as in 500MB"),
    ],
)
def test_bad_bounds_are_one_clear_line(outlive, arguments, message):
    """And remove nothing."""
    outlive("run", "--", "true")
    told = outlive("prune", *arguments)
    assert told.returncode == 2
    assert message in told.stderr.decode()
    assert told.stderr.count(b"\n") == 1
    assert len(DirectoryStore(outlive.store).ids()) == 1


def test_the_environment_sets_a_quota(outlive):
    """Ended runs go as new ones come; what is no size is one clear line."""
    outlive.environment["OUTLIVE_QUOTA"] = "100"
    for number in range(3):
        assert outlive("run", "--title", f"{number}", "--", "true").returncode == 0
    assert titles(outlive) == ["2"]
    outlive.environment["OUTLIVE_QUOTA"] = "much"
    told = outlive("run", "--", "true")
    assert told.returncode == 2
    assert told.stderr == b"outlive: OUTLIVE_QUOTA: give a size as in 500MB or 2GiB, not 'much'\n"
