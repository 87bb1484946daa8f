"""Receive PORT PATH: as the C program of this name, for machines without a compiler."""

import socket
import sys
import time

buffer = bytearray(1 << 20)
before = time.perf_counter()
server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
request = f"GET {sys.argv[2]} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
server.sendall(request.encode())
while server.recv_into(buffer):
    pass
print(time.perf_counter() - before)
