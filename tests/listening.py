"""What a program says while it runs."""

import re
import subprocess
import threading

from tests.standalone.servers import PATIENCE


class Listener:
    """Takes what a program says, line by line, until it says no more."""

    def __init__(self, process: subprocess.Popen[str], wanted: re.Pattern[str]) -> None:
        self.said: list[str] = []
        self._process, self._wanted = process, wanted
        self._was_told = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line)
            if self._wanted.search(line):
                self._was_told.set()
        self._process.stdout.close()
        self._was_told.set()

    def wait(self) -> str:
        """Wait until it says what is wanted: what that pattern's group is."""
        assert self._was_told.wait(PATIENCE), self.said
        found = self._wanted.search("".join(self.said))
        assert found is not None, self.said
        return found[1]

    def join(self) -> None:
        """Wait until it says no more."""
        self._thread.join()
