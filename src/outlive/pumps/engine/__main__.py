"""Run the engine of a store: what `ps` shows, with the store behind it.

A fresh interpreter, isolated and without `site`: what is installed beside Outlive comes last, and
only Outlive is taken from there.
"""

import os
import sys

if __name__ == "__main__":
    # Nobody is the parent of what goes on, and has to wait for it.
    if os.fork():
        os._exit(0)
    # …/outlive/pumps/engine/__main__.py
    sys.path.append(os.path.realpath(f"{__file__}/../../../.."))
    from outlive.pumps.engine.program import main

    main()
