"""A build that never was: stages, colours, a progress bar and a warning, in about a minute.

Nothing here knows Outlive. `story.py 5` tells the same story in five seconds.
"""

import random
import sys
import time

MINUTE = 60.0
CHANCE = 0.05  # of a test to be skipped
BOLD, DIM, GREEN, YELLOW, CYAN = (f"\033[{code}m" for code in (1, 2, 32, 33, 36))
PLAIN = "\033[0m"

FILES = ["journal", "entries", "cursor", "formats", "viewer", "pump", "page", "supervisor"]


class Pace:
    """Time as the story goes: `rest(0.1)` waits for a tenth of it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started = time.monotonic()
        self.told = 0.0

    def rest(self, share: float) -> None:
        """Wait until this much more of the story has been told."""
        self.told += share
        left = self.started + self.told * self.seconds - time.monotonic()
        time.sleep(max(0.0, left))


def stage(number: int, title: str) -> None:
    """Open a stage."""
    print(f"\n{BOLD}{CYAN}[{number}/4] {title}{PLAIN}")


def fetch(pace: Pace) -> None:
    """Draw a progress bar, over itself."""
    stage(1, "Fetch")
    total = 48
    for done in range(total + 1):
        bar = "█" * (done * 30 // total) + "░" * (30 - done * 30 // total)
        print(f"\r  sources {GREEN}{bar}{PLAIN} {done:2} of {total} MB", end="")
        pace.rest(0.3 / total)
    print(f"\n  {DIM}checksum 5f1d… is as it should be{PLAIN}")


def compile_all(pace: Pace) -> None:
    """Write a line per file, and one warning to stderr."""
    stage(2, "Compile")
    for name in FILES:
        print(f"  {DIM}cc{PLAIN} -O2 {name}.c")
        pace.rest(0.2 / len(FILES))
        if name == "cursor":
            warning = f"{YELLOW}warning:{PLAIN} cursor.c:42: 'position' may be used too early"
            print(f"  {warning}", file=sys.stderr)


def test(pace: Pace) -> None:
    """Write a line per file, a dot per test."""
    stage(3, "Test")
    dice = random.Random(4)  # noqa: S311  # the same story each time
    for name in FILES:
        pace.rest(0.4 / len(FILES))
        dots = [f"{YELLOW}s" if dice.random() < CHANCE else f"{GREEN}." for _ in range(24)]
        print(f"  {name:<12}{''.join(dots)} ok{PLAIN}")


def pack(pace: Pace) -> None:
    """End the story."""
    stage(4, "Pack")
    for part in ("program", "manual", "signature"):
        print(f"  + {part}")
        pace.rest(0.1 / 3)


def main() -> None:
    """Tell the story, in the seconds that the command line gives."""
    pace = Pace(float(sys.argv[1]) if len(sys.argv) > 1 else MINUTE)
    print(f"{BOLD}A small story{PLAIN}, told by a plain Python program that prints and sleeps.")
    for chapter in (fetch, compile_all, test, pack):
        chapter(pace)
    print(f"\n{BOLD}{GREEN}Done.{PLAIN} The log stays.")


if __name__ == "__main__":
    main()
