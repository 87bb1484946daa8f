"""nginx with nchan, Debian's: a publisher and a subscriber location, one worker."""

from typing import ClassVar

from .base import Peer
from .environments import find_program

__all__ = ["BatchedNchan", "Nchan"]

_MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"
#: Who comes first gets all there is, as from Outlive: otherwise ten messages are kept.
_CONFIGURATION = """
load_module {module};
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    nchan_shared_memory_size 1g;
    nchan_message_buffer_length {kept};
    nchan_message_timeout 10m;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /publish {{ nchan_publisher; nchan_channel_id lines; }}
        location = /stream {{
            nchan_subscriber eventsource;
            nchan_channel_id lines;
            nchan_subscriber_first_message oldest;
        }}
    }}
}}
"""


class Nchan(Peer):
    """A message for each line."""

    name = "nginx nchan, line by line"
    programs: ClassVar = {"nginx": "nginx", _MODULE: "libnginx-mod-nchan"}
    keeps_history = True
    transport = "nchan"

    @property
    def feeder(self) -> tuple[str, str]:
        return self.transport, str(self.port)

    def start(self) -> None:
        configuration = self.folder / "nginx.conf"
        text = _CONFIGURATION.format(
            module=_MODULE, folder=self.folder, port=self.port, kept=self.load.lines + 1000
        )
        configuration.write_text(text)
        nginx = find_program("nginx") or "nginx"
        self.launch([nginx, "-p", str(self.folder), "-e", "stderr", "-c", str(configuration)])


class BatchedNchan(Nchan):
    """A message for all lines of a millisecond."""

    name = "nginx nchan, batches of 1 ms"
    transport = "nchan-batch"
