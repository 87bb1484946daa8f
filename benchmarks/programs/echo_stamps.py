"""The bare floor of Outlive: a command's pipe in, one viewer's socket out, nothing between.

Prints a port, waits for a client, then runs the command and sends what it reads.
"""

import os
import socket
import subprocess
import sys

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
client, _ = listener.accept()
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
client.recv(4096)
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, bufsize=0)
if process.stdout is not None:
    while data := os.read(process.stdout.fileno(), 65536):
        client.sendall(data)
client.close()
sys.exit(process.wait())
