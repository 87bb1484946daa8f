"""The repository says the same thing everywhere, and only about itself."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "outlive"
MODULES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# Folders of tools, nothing of which is kept.
PASSING = {
    ".git",
    ".outlive",
    ".venv",
    ".hypothesis",
    "__pycache__",
    "build",
    "dist",
    "node_modules",
}

# Paths of one machine, and where packages come from: a user's choice, not ours.
FOREIGN = re.compile(
    r"(?<![\w.])/(?:work|root)\b(?!\.)|(?:pypi|debian|pythonhosted|npmjs)\.org|index-url|find-links"
)

MAX_LINES = 500


def relative(path: Path) -> str:
    """Return a path as a test's name shows it."""
    return str(path.relative_to(ROOT))


def files() -> Iterator[Path]:
    """Yield every file that belongs to the repository."""
    for folder, names, found in os.walk(ROOT):
        names[:] = [name for name in names if name not in PASSING and "_cache" not in name]
        yield from (Path(folder, name) for name in found)


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Yield the public functions and classes of a module, methods aside."""
    for node in tree.body:
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        # One that is overloaded is documented where it is defined.
        decorators = [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])]
        if (
            isinstance(node, kinds)
            and not node.name.startswith("_")
            and "overload" not in decorators
        ):
            yield node


def exported(tree: ast.Module) -> list[str]:
    """Return a module's `__all__`, empty where it has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def parsed(path: Path) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def rank(name: str) -> tuple[int, str]:
    """Order names as the linter does: CONSTANTS, then Classes, then functions."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def test_the_changelog_is_about_this_version():
    """The newest version in the changelog is the package's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[?(\d[^\]\s]*)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == project["version"]


def test_no_file_names_a_machine_or_a_registry():
    """What is written here holds wherever it is cloned."""
    found = []
    for path in files():
        if path == Path(__file__):
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{relative(path)}: {match[0]}" for match in FOREIGN.finditer(text)]
    assert found == []


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=relative)
def test_modules_are_short(path):
    """A module that outgrows this does two things."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_what_is_public_is_documented(path):
    """Every public function and class says what it does."""
    assert [node.name for node in public(parsed(path)) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_exports_are_sorted(path):
    """A name is found in `__all__` where one looks for it."""
    names = exported(parsed(path))
    assert names == sorted(names, key=rank)
