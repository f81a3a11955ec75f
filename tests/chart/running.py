"""Owns running the server with settings as an operator has them, not with --dev: started on free ports of loopback, ended by its pid."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server import binary

READY_SECONDS = 20.0
STOP_SECONDS = 15.0
# Flags win over variables and files: whatever these say, it is free ports on loopback.
ELSEWHERE = ["--bind=127.0.0.1", "--port=0", "--udp-port=0", "--metrics-port=0", "--metrics-bind=127.0.0.1", "--node-ip=127.0.0.1"]


@contextmanager
def running(log: Path, *flags: str, **environment: str) -> Iterator[str]:
    """Gives what the server said of itself when it was ready. Its end is gentle, and has to be in order."""
    with log.open("w") as sink:
        child = subprocess.Popen(
            [binary(), *ELSEWHERE, *flags],
            env={**os.environ, **environment, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + READY_SECONDS
            while child.poll() is None and "metrics http" not in log.read_text() and time.monotonic() < deadline:
                time.sleep(0.05)
            # Handlers of signals follow the banner.
            time.sleep(0.3)
            assert child.poll() is None, log.read_text()
            yield log.read_text()
            child.send_signal(signal.SIGTERM)
            code = child.wait(STOP_SECONDS)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait(5)
    assert code == 0, log.read_text()


def metrics_address(said: str) -> str:
    """HOST:PORT of the operations port."""
    found = re.search(r"metrics http://([\w.:\[\]]+)/", said)
    assert found, said
    return found.group(1)
