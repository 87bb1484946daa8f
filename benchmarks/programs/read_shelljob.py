"""read_shelljob COMMAND…: take a command's lines as shelljob's documentation does, and count them."""

import sys

from shelljob import proc

group = proc.Group()
group.run(sys.argv[1:])
lines = 0
while group.is_pending():
    lines += len(group.readlines())
print(lines)
