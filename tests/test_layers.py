"""The import table of the design, enforced: who may import whom inside Outlive."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "outlive"

# part: the parts that it may import. A part is a module or a folder at the package's root.
TABLE = {
    "errors": "",
    "terminal": "",
    "platforms": "errors",
    "processes": "platforms",
    "entries": "errors",
    "formats": "errors entries terminal",
    "journals": "errors entries platforms",
    "channels": "entries",
    "buffers": "errors entries journals",
    "stores": "errors entries journals platforms",
    "surroundings": "stores",
    "settings": "errors stores surroundings",
    "activities": "entries stores",
    "seats": "errors journals settings",
    "feeds": "errors entries formats journals",
    "viewers": "errors entries formats feeds",
    "runs": "buffers errors entries journals stores platforms",
    "sources": "buffers channels errors entries runs platforms processes",
    "children": "errors entries journals runs sources stores",
    "supervisors": "channels errors entries platforms settings stores runs sources",
    "work": "buffers channels errors entries journals platforms settings stores surroundings runs"
    " sources children supervisors",
    "__init__": "activities errors entries stores runs sources work",
    "web": "errors entries journals stores settings formats feeds seats viewers terminal",
    "endings": "",
    "pumps": "endings errors entries platforms settings stores journals formats feeds seats viewers",
    "adapters": "activities endings errors entries journals platforms seats settings stores surroundings"
    " runs sources work web pumps",
    "standalone": "errors settings stores web pumps adapters platforms",
    "cli": "errors terminal platforms entries formats journals stores settings viewers runs sources"
    " supervisors work web pumps adapters standalone",
    "__main__": "cli",
}

# Folders of alternatives: a member imports `base`, and never a sibling.
ALTERNATIVES = {"formats", "journals", "sources", "pumps", "adapters"}
# What some members share beside it: those of WSGI, what its servers tell.
SHARED = {"base", "environs"}

MODULES = sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Return a module's name below the package: `formats/sse.py` is `formats.sse`."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def top(name: str) -> str:
    """Return the first of a dotted name's words."""
    return name.partition(".")[0]


def imports_of(path: Path) -> Iterator[str]:
    """Yield the full name of everything that a module imports, wherever in it."""
    package = ("outlive", *path.relative_to(SOURCE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (submodule(origin, alias.name) for alias in node.names)


def submodule(origin: str, name: str) -> str:
    """Return `origin.name` where that is a module of ours, else `origin`."""
    place = SOURCE.parent.joinpath(*origin.split("."), name)
    ours = place.is_dir() or place.with_suffix(".py").is_file()
    return f"{origin}.{name}" if top(origin) == "outlive" and ours else origin


def inside(path: Path) -> Iterator[str]:
    """Yield what a module imports of Outlive, named below the package; the root is ``."""
    for name in imports_of(path):
        if top(name) == "outlive":
            yield name.partition(".")[2]


def foreign(path: Path) -> Iterator[str]:
    """Yield the third-party libraries that a module imports."""
    for name in imports_of(path):
        library = top(name)
        if library != "outlive" and library not in sys.stdlib_module_names:
            yield library


every_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


@every_module
def test_a_part_imports_only_what_its_row_allows(path):
    """The table decides; a part may always import from itself."""
    part = top(name_of(path))
    assert part in TABLE, f"{part} has no row in the table"
    allowed = {part, *TABLE[part].split()}
    assert {top(name) for name in inside(path)} - {""} <= allowed


@every_module
def test_nobody_inside_imports_the_package_root(path):
    """The root imports the parts, so a part that imports it back has come full circle."""
    assert "" not in set(inside(path))


@every_module
def test_alternatives_never_import_their_siblings(path):
    """A member of a family can be understood, and taken away, alone."""
    part, *rest = name_of(path).split(".")
    if part not in ALTERNATIVES or not rest:
        return  # not a member: the folder itself knows them all
    family = {name for name in inside(path) if top(name) == part}
    members = {".".join(name.split(".")[1:2]) for name in family}
    assert members <= {*SHARED, rest[0]}


def test_a_third_party_library_is_imported_in_one_place():
    """Where a library is missing, one file can say how to install it, or the head of one folder."""
    users: dict[str, set[str]] = {}
    for path in MODULES:
        for library in foreign(path):
            users.setdefault(library, set()).add(".".join(name_of(path).split(".")[:2]))
    # It serves us, and lets go of connections where it serves others.
    assert users.pop("uvicorn") == {"standalone.serving", "adapters.asgi"}
    assert {library: places for library, places in users.items() if len(places) > 1} == {}


def adapters() -> list[str]:
    """Return the names of the adapters that exist."""
    names = {name_of(path).split(".")[1] for path in SOURCE.glob("adapters/*/__init__.py")}
    names |= {path.stem for path in SOURCE.glob("adapters/*.py")} - {"__init__"}
    return [f"outlive.adapters.{name}" for name in sorted(names)]


SERVERS = {"http.server", "socketserver", "wsgiref.simple_server"}


@pytest.mark.parametrize("name", ["outlive", *adapters()])
def test_importing_pulls_in_no_server_and_no_framework(name):
    """What `import outlive`, or an adapter, costs is Outlive and its own framework alone."""
    own = name.rpartition(".")[2]
    files = [path for path in MODULES if f"outlive.{name_of(path)}" == name]
    parts = [part for path in files for part in imports_of(path) if top(part) == own]
    first = "".join(f"import {part}; " for part in parts)
    code = (
        f"import sys; {first}before = set(sys.modules); import {name}; "
        "print(*sorted(set(sys.modules) - before))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    new = set(answer.stdout.split())
    libraries = {top(module) for module in new} - sys.stdlib_module_names
    # Debian keeps the build's variables in a module with a name of its own.
    libraries = {library for library in libraries if not library.startswith("_sysconfigdata")}
    assert libraries <= {"outlive"}
    assert new & SERVERS <= ({"http.server", "socketserver"} if own == "http_server" else set())


@pytest.mark.parametrize("framework", ["CherryPy", "Django", "Flask"])
def test_where_a_framework_is_missing_the_error_tells_what_to_do(framework):
    """In one line."""
    name = framework.lower()
    code = f"import sys; sys.modules[{name!r}] = None; import outlive.adapters.{name}"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr.endswith(
        f"\nModuleNotFoundError: {framework} is missing: pip install {name}\n"
    )


def test_the_table_has_no_circle():
    """Every part can be placed above all that it imports."""
    above: list[str] = []
    rest = dict(TABLE)
    while rest:
        ready = [part for part, row in rest.items() if set(row.split()) <= set(above)]
        assert ready, f"these import each other: {', '.join(rest)}"
        above += ready
        for part in ready:
            del rest[part]
