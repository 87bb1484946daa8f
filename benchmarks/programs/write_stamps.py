"""Write lines that tell when they were written: `write_stamps.py COUNT SECONDS_BETWEEN`."""

import os
import sys
import time

for _ in range(int(sys.argv[1])):
    os.write(1, b"T%d\n" % time.monotonic_ns())
    time.sleep(float(sys.argv[2]))
