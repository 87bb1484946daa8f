"""Write docs/reference.md out of the docstrings: `make reference`."""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import outlive
from outlive import errors
from outlive.entries import RunRecord, State
from outlive.sources.stages import Stage

TARGET = Path(__file__).parents[1] / "docs" / "reference.md"

HEAD = """# Reference

What `import outlive` gives, written from the docstrings by `make reference`. [tutorial.md](tutorial.md) shows how it
is used, [http.md](http.md) what is there for other programs.
"""

CHAPTERS = {
    "Runs": [
        "start",
        "start_command",
        "receive",
        "ReceivedFile",
        "capture",
        "command",
        "activity",
        "Run",
    ],
    "Inside of a run": ["current_run", "cancelled", "track", "stage", "event"],
}

#: What users have of a class; the rest is for its neighbours.
MEMBERS = {
    "ReceivedFile": [],
    "Run": ["record", "state", "wait", "text", "cancel", "bind", "journal"],
    "Stage": ["update", "advance"],
}


def write_signature(name: str, function: Callable[..., object]) -> str:
    """Write how a function is called, a parameter a line where they are many."""
    signature = inspect.signature(function)
    shown = [write_parameter(p) for p in signature.parameters.values() if p.name != "self"]
    kinds = [p.kind for p in signature.parameters.values() if p.name != "self"]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        shown.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    # The run that this process writes is nothing else to its users.
    result = str(signature.return_annotation).replace("OwnRun", "Run")
    tail = ")" if result == "None" else f") -> {result}"
    line = f"{name}({', '.join(shown)}{tail}"
    if len(line) > 100:
        line = f"{name}(\n" + "".join(f"    {each},\n" for each in shown) + tail
    return f"```python\n{line}\n```\n"


def write_parameter(parameter: inspect.Parameter) -> str:
    """Write a parameter as it stands in the source."""
    star = "*" * (
        2 if parameter.kind is parameter.VAR_KEYWORD else parameter.kind is parameter.VAR_POSITIONAL
    )
    default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{star}{parameter.name}: {parameter.annotation}{default}"


def write_text(documented: object) -> str:
    """Write a docstring, its arguments as a list."""
    text, _, arguments = (inspect.getdoc(documented) or "").partition("\nArgs:\n")
    parts = [text.strip()]
    items = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE)
    parts += [f"- `{name}`: {' '.join(about.split())}" for name, about in items]
    return "\n".join([parts[0], "", *parts[1:], ""] if items else [parts[0], ""])


def write_class(name: str, kind: type) -> Iterator[str]:
    """Write what users have of a class."""
    yield write_text(kind)
    for member in MEMBERS[name]:
        value = inspect.getattr_static(kind, member)
        own = f"{name.lower()}.{member}"
        if isinstance(value, property):
            yield f"**`{own}`** – {write_text(value)}"
        else:
            yield write_signature(own, value)
            yield write_text(value)


def write_reference() -> str:
    """Write all of it."""
    parts = [HEAD]
    for chapter, names in CHAPTERS.items():
        parts.append(f"## {chapter}\n")
        for name in names:
            value = getattr(outlive, name)
            parts.append(f"### `{name}`\n")
            if inspect.isclass(value):
                parts.extend(write_class(name, value))
                continue
            parts += [write_signature(f"outlive.{name}", value), write_text(value)]
            if name == "stage":
                parts.extend(write_class("Stage", Stage))
    parts += ["## States\n", f"`outlive.State`: {', '.join(f'`{state}`' for state in State)}.\n"]
    fields = ", ".join(f"`{name}`" for name in RunRecord.__dataclass_fields__)
    parts += [f"A record, `run.record`, has {fields}.\n"]
    tree = inspect.getdoc(errors) or ""
    parts += [
        "## Errors\n",
        f"```text\n{tree.partition('Every class')[0].split('.', 1)[1].strip()}\n```\n",
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(write_reference(), encoding="utf-8")
    sys.stdout.write(f"{TARGET}\n")
