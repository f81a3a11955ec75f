"""Owns the server under test for the Python suite: started on free ports, waited for, ended by its pid.

The same reaper as in the Node harness ends it when this process is killed outright.
"""

import os
import re
import subprocess
import threading
import time
import urllib.request
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
REAPER = Path(__file__).resolve().parents[1] / "harness" / "reaper.sh"
READY_SECONDS = 20.0
STOP_SECONDS = 10.0
LOG_LINES = 2000


def binary() -> Path:
    """The server under test: SERVER_UNDER_TEST, or the release build of this tree."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = Path(os.environ.get("SERVER_UNDER_TEST", target / "release" / "sfumato"))
    if not path.exists():
        raise RuntimeError(f'no server at {path}: run "make build" first, or set SERVER_UNDER_TEST')
    return path


class Server:
    """One running server. `url` is the `ws://` address that clients connect to."""

    def __init__(self, *args: str) -> None:
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._url = ""
        self._ready = threading.Event()
        command = [str(binary()), "--dev", "--bind", "127.0.0.1", "--port", "0", "--udp-port", "0", "--metrics-port", "0"]
        self._child = subprocess.Popen(
            [*command, "--node-ip", "127.0.0.1", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # What else the machine does is not to turn clients away.
            env={
                "RUST_LOG": "info",
                "RUST_BACKTRACE": "1",
                "SFUMATO_LIMIT_SHARD_BUSY": "0",
                "SFUMATO_LIMIT_MEMORY": "0",
                **os.environ,
            },
        )
        self._reaper = subprocess.Popen(
            ["/bin/sh", str(REAPER), str(self._child.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self._wait_until_ready()

    @property
    def url(self) -> str:
        return self._url.replace("http", "ws", 1)

    @property
    def metrics_url(self) -> str:
        """Where metrics are, by the server's own banner."""
        found = re.search(r"metrics (http://\S+)", self.log())
        if not found:
            raise RuntimeError(f"no address of metrics in what the server says\n{self.log()}")
        return found.group(1)

    def log(self) -> str:
        return "\n".join(self._log)

    def stop(self) -> None:
        """Ends the server; raises when it panicked, had died already, or did not stop when asked."""
        code = self._child.poll()
        died_early = code is not None
        forced = False
        if not died_early:
            self._child.terminate()
            try:
                code = self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                forced = True
                self._child.kill()
                code = self._child.wait(5)
        self._release()
        panicked = any("panicked at" in line for line in self._log)
        if panicked or died_early or forced or code != 0:
            raise RuntimeError(
                f"server: {panicked=} {died_early=} {forced=} exit code {code}\n{self.log()}"
            )

    def _read(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            self._log.append(re.sub(r"\x1b\[[0-9;]*m", "", line.rstrip("\n")))
            found = re.search(r"http://[^\s\"',)]+", self._log[-1])
            if found and not self._url:
                self._url = found.group().rstrip("/")
                self._ready.set()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        problem: object = "no line with http://"
        while time.monotonic() < deadline and self._child.poll() is None:
            if self._ready.wait(0.1):
                try:
                    with urllib.request.urlopen(self._url, timeout=2) as answer:
                        if answer.status == 200:
                            return
                except OSError as error:
                    problem = error
                    time.sleep(0.1)
        self._child.kill()
        self._child.wait(5)
        self._release()
        raise RuntimeError(f"the server was not ready: {problem}\n{self.log()}")

    def _release(self) -> None:
        assert self._reaper.stdin
        try:
            self._reaper.stdin.write(b"done\n")
            self._reaper.stdin.close()
        except OSError:
            pass
        self._reaper.wait(5)
