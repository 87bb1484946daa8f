"""A command that prints what is in files as they come: `stepping.py FOLDER`.

It flushes no whole line, and ends with the code that the file `end` holds.
"""

import itertools
import sys
import time
from pathlib import Path

folder = Path(sys.argv[1])
with (folder / "starts").open("a") as file:
    file.write("started\n")
for number in itertools.count(1):
    while not ((folder / str(number)).exists() or (folder / "end").exists()):
        time.sleep(0.01)
    if not (folder / str(number)).exists():
        sys.exit(int((folder / "end").read_text()))
    text = (folder / str(number)).read_bytes().decode()
    print(text, end="", flush=not text.endswith("\n"))
