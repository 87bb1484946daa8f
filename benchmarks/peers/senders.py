"""The plain sender in C: what the machine and the client can do at all."""

from .base import Peer

__all__ = ["Sender"]


class Sender(Peer):
    """The same bytes as Outlive, without a journal, a run, a framework or Python."""

    name = "plain sender in C"
    keeps_history = True

    def start(self) -> None:
        self.launch([*self.lab.helper("send"), str(self.port), str(self.folder / "feed")])
