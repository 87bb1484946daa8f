"""Examples of Django whose work does what a test says, statement by statement."""

from pathlib import Path
from typing import Self

from outlive.runs import Run
from tests.seeds.running import Example
from tests.standalone.servers import Connection


class Instructed:
    """An example on its real server, with a function that does as it is told."""

    def __init__(self, folder: Path, example: str, function: str) -> None:
        self._steps = folder / "steps"
        self._steps.mkdir()
        program = ["tests/seeds/instructed.py", example, function]
        self.example = Example(program, folder, STEPS=str(self._steps))
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        with self.example:
            pass

    def do(self, statement: str) -> None:
        """Have it do something next."""
        self._number += 1
        draft = self._steps / "draft"
        draft.write_text(statement)
        draft.rename(self._steps / str(self._number))

    def end(self) -> None:
        """Have it end."""
        (self._steps / "end").touch()

    def starts(self) -> int:
        """Count how often it was started."""
        return (self._steps / "starts").read_text().count("\n")

    def ask(self, path: str, **headers: str) -> Connection:
        """Ask for a path."""
        return self.example.ask(path, **headers)

    def runs(self) -> list[Run]:
        """Get the runs that there are."""
        store = self.example.store
        return [Run(store, record.id) for record in store.records()]

    def printed(self) -> str:
        """Get what the server's terminal shows."""
        return "".join(self.example.said)
