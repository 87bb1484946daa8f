"""Print a port, and send a file to each who connects there and asks: where there is no cc."""

import contextlib
import socket
import sys
from pathlib import Path

data = memoryview(Path(sys.argv[1]).read_bytes())
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    with client, contextlib.suppress(OSError):
        client.recv(4096)
        for place in range(0, len(data), 65536):
            client.sendall(data[place : place + 65536])
