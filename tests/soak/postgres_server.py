"""The PostgreSQL server of `.ci/postgres`, killed and started again."""

import dataclasses
import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

__all__ = ["PostgresServer"]

_TIMEOUT_S = 60.0


@dataclasses.dataclass(frozen=True)
class PostgresServer:
    """A server whose socket and data are in one folder.

    Args:
        url: as in SPECFLOW_TEST_POSTGRES.
    """

    url: str

    @property
    def folder(self) -> Path:
        """The folder, from the `host` of the URL."""
        return Path(parse_qs(urlsplit(self.url).query)["host"][0])

    def kill(self) -> None:
        """Kills the server; its sessions notice, and end."""
        pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def start(self) -> None:
        """Starts the server, which recovers from its log; returns once it answers."""
        newest = max(
            Path("/usr/lib/postgresql").iterdir(),
            key=lambda version: float(version.name),
        )
        options = f"-c listen_addresses='' -k {self.folder}"
        data, log = self.folder / "data", self.folder / "log"
        command = [newest / "bin/pg_ctl", "-D", data, "-l", log, "-w", "-s"]
        as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        until = time.monotonic() + _TIMEOUT_S
        # Sessions of the killed one may still hold its memory.
        while time.monotonic() < until:
            started = subprocess.run(
                [*as_user, *map(str, command), "-o", options, "start"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            if started.returncode == 0:
                return
            time.sleep(0.2)
        raise RuntimeError(f"the server in {self.folder} does not start: see {log}")
