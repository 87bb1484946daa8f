"""`python -m outlive` is the command `outlive`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
