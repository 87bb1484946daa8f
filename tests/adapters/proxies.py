"""nginx before a server, as people begin with it: told where the server is, and nothing else."""

import os
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from tests.helpers import eventually

_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {limit}
        location /outer/ {{
            proxy_pass http://{upstream}/;
            proxy_set_header X-Forwarded-Prefix /outer;
        }}
    }}
}}
"""


class Nginx:
    """A proxy of the test's own; it takes the prefix `/outer` off."""

    def __init__(self, folder: Path, upstream: str, limit: str) -> None:
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                # Its workers would be nobody, who may not write in the test's folder.
                user="" if os.geteuid() else "user root;",
                folder=folder,
                port=port,
                limit=limit,
                upstream=upstream,
            )
        )
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program is not None, "nginx is missing: scripts/setup test"
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [program, "-p", folder, "-e", "stderr", "-c", configuration], stdin=subprocess.DEVNULL
        )
        try:
            eventually(self._answers)
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        assert self._process.poll() is None
        parts = urlsplit(self.url)
        try:
            socket.create_connection((parts.hostname, parts.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def stop(self) -> None:
        """End it at once."""
        self._process.terminate()
        self._process.wait()
