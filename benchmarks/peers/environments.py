"""What the peers need, in an environment of its own: `benchmarks/.venv`, and programs of Debian."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["PYTHON", "find_program", "install", "versions"]

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "benchmarks" / ".venv"
PYTHON = _FOLDER / "bin" / "python"
#: Servers, and what draws. uvicorn with its fast parts, since its users have them, too.
_SHARED = ("gunicorn", "uvicorn[standard]", "matplotlib")


def install(needs: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]]) -> dict[str, str]:
    """Install what peers need: packages, and programs with their Debian packages, for each name.

    Returns why some cannot be had.
    """
    wanted = {package for packages, _ in needs.values() for package in packages}
    if not _filled(wanted):
        _create()
        together = _pip(*sorted(wanted)) == ""
        _stamp().write_text("\n".join(sorted(wanted)) if together else "")
    return {
        name: reason
        for name, (packages, programs) in needs.items()
        if (reason := _lacks(packages, programs, wanted))
    }


def _lacks(packages: Iterable[str], programs: Mapping[str, str], wanted: set[str]) -> str:
    """Say why something cannot be had, if so: one package that is missing spoils no other peer."""
    for program, debian in programs.items():
        if find_program(program) is None and not _apt(debian):
            return f"no {program}: apt-get install {debian}"
    return "" if _filled(wanted) else _pip(*packages)


def find_program(name: str) -> str | None:
    """Find a program, or a file by its path; not everybody's path has the folder of servers."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin", mode=os.F_OK)


def versions(names: Iterable[str], debian: Iterable[str]) -> str:
    """Tell the versions of packages that are installed, Python's and Debian's."""
    code = (
        "import importlib.metadata as m, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, m.version(name))\n"
        "    except m.PackageNotFoundError: pass"
    )
    found = _lines(str(PYTHON), "-c", code, *sorted(names))
    if shutil.which("dpkg-query"):
        form = "${Package} ${Version}\n"
        found += _lines("dpkg-query", "--show", "--showformat", form, *sorted(debian))
    return ", ".join(found)


def _lines(*argv: str) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def _stamp() -> Path:
    return _FOLDER / ".ready"


def _filled(wanted: set[str]) -> bool:
    ready = set(_stamp().read_text().splitlines()) if _stamp().exists() else set[str]()
    return PYTHON.exists() and wanted <= ready


def _create() -> None:
    print("filling benchmarks/.venv", file=sys.stderr, flush=True)
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", _FOLDER], check=True)
    if failure := _pip("--editable", str(_ROOT), *_SHARED):
        raise RuntimeError(f"pip: {failure}")


def _pip(*arguments: str) -> str:
    """Install; returns what pip says of a failure."""
    argv = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*argv, *arguments], capture_output=True, text=True, check=False)
    said = done.stderr.strip().splitlines() or ["pip failed"]
    return said[-1] if done.returncode else ""


def _apt(package: str) -> bool:
    """Install a Debian package where that is possible."""
    if os.getuid() or not shutil.which("apt-get"):
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    common = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update", "-qq"], check=False, **common)  # type: ignore[call-overload]
    argv = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", package]
    return subprocess.run(argv, check=False, **common).returncode == 0  # type: ignore[call-overload,no-any-return]
