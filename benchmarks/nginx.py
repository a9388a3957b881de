"""A private nginx with a folder of files, for measurements: its own ports, its own temporary folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

CONF = """
worker_processes 1; daemon off; pid {root}/pid; error_log {root}/errors; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}/www; }}
  server {{ listen 127.0.0.1:{slow_port}; root {root}/www; limit_rate {limit}; }}
}}
"""


def find_nginx() -> str | None:
    """The nginx of this system, if there is one."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


class Nginx:
    """Serves `root`/www on `port`, and on `slow_port` with `limit` bytes a second for each connection; a context."""

    def __init__(self, root: Path, limit: str = "20m") -> None:
        self.root = root
        self.www = root / "www"
        self.www.mkdir(parents=True, exist_ok=True)
        self.port, self.slow_port = _free_port(), _free_port()
        self._limit = limit
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Nginx:
        binary = find_nginx()
        if binary is None:
            raise SystemExit("this measurement needs nginx (apt install nginx)")
        # As root, nginx would give its workers to a user who may not read the temporary folder.
        user = "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
        text = CONF.format(root=self.root, port=self.port, slow_port=self.slow_port, limit=self._limit, user=user)
        (self.root / "nginx.conf").write_text(text)
        self._process = subprocess.Popen([binary, "-c", str(self.root / "nginx.conf")], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not _answers(self.port):
            if time.monotonic() > until or self._process.poll() is not None:
                raise SystemExit("nginx does not start: " + (self.root / "errors").read_text())
            time.sleep(0.05)
        return self

    def __exit__(self, *ignored: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
