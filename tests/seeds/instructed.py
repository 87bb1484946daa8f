"""An example whose function does what files say, as they come: `instructed.py EXAMPLE FUNCTION`.

They are statements of Python, in the folder that STEPS names; the function ends at the file `end`.
"""

import importlib
import itertools
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ["STEPS"])


def do_as_told(*_: object) -> None:
    """Do one statement after the other."""
    with (FOLDER / "starts").open("a") as file:
        file.write("started\n")
    for number in itertools.count(1):
        while not ((FOLDER / str(number)).exists() or (FOLDER / "end").exists()):
            time.sleep(0.01)
        if not (FOLDER / str(number)).exists():
            return
        exec((FOLDER / str(number)).read_text())


example, function = sys.argv[1:]
sys.path.insert(0, str(ROOT / "examples" / example))
app = importlib.import_module("app")
setattr(app, function, do_as_told)
app.main()
