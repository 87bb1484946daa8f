"""An import that never was: a hundred tables, each a stage with a bar of its own.

`stages.py 5 2` imports five tables in two seconds.
"""

import logging
import random
import sys
import time

import outlive

TABLES, SECONDS = 100, 60.0
STEPS, WIDTH = 20, 30
GREEN, DIM, PLAIN = (f"\033[{code}m" for code in (32, 2, 0))
KINDS = ["clients", "orders", "invoices", "stock"]

log = logging.getLogger("warehouse")


def draw(name: str, done: int, rows: int) -> None:
    """Draw a bar over itself, as any program would in a terminal."""
    size = WIDTH * done // rows
    bar = f"{GREEN}{'█' * size}{DIM}{'░' * (WIDTH - size)}{PLAIN}"
    print(f"\r{name:<20} {bar} {done:5,} of {rows:,}", end="", flush=True)


def import_table(name: str, rows: int, seconds: float) -> None:
    """Import one table: its stage counts the rows."""
    with outlive.stage(name, rows, "rows") as stage:
        for step in range(STEPS + 1):
            done = rows * step // STEPS
            draw(name, done, rows)
            stage.update(done)
            time.sleep(seconds / (STEPS + 1))
        print()
    if rows % 7 == 0:
        log.warning("%s has %d rows without a key", name, rows // 7 % 5 + 2)


def import_all(tables: int, seconds: float) -> None:
    """Import them all, within a stage that counts the tables."""
    dice = random.Random(2)  # noqa: S311  # the same story each time
    with outlive.stage("Import", tables, "tables") as stage:
        for number in range(1, tables + 1):
            if outlive.cancelled():
                return
            name = f"{KINDS[number % 4]}_{number:03}"
            import_table(name, dice.randint(2_000, 20_000), seconds / tables)
            stage.advance()


def main() -> None:
    """Start the import, in a thread of this process, and wait for it."""
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else TABLES
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    labels = {"team": "data"}
    run = outlive.start(import_all, tables, seconds, title="Import warehouse", labels=labels)
    print(f"Started run {run.id}.")
    print(f"It {run.wait()}.")


if __name__ == "__main__":
    main()
