"""A service that runs as its users run it, for tests: a process of its own, and how to speak to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PREFIX = "HYBRID_AUDIO_API_"


class Running:
    """A service under test."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder
        self.log: list[dict] = []
        self.address = self._await("listening")["address"]
        self._await("ready")
        self._reader = threading.Thread(target=self._read_on, daemon=True)
        self._reader.start()
        self.client = httpx.Client(base_url=f"http://{self.address}", timeout=60)

    def _await(self, event: str) -> dict:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(_parsed(line))
            if self.log[-1]["event"] == event:
                return self.log[-1]
        raise AssertionError(f"the service ended before it was {event}: {self.log}")

    def _read_on(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(_parsed(line))

    def close(self) -> None:
        """Read the log to its end and let go."""
        self._reader.join(30)
        self.client.close()

    def uploads(self) -> list[Path]:
        """What lies in the folder of uploads."""
        return list((self.folder / "uploads").iterdir())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(60)


def _parsed(line: str) -> dict:
    """A line of the log; what is said before there is one, or by Python itself at the end, is no JSON."""
    return json.loads(line) if line.startswith("{") else {"event": line.strip()}


@contextmanager
def serving(folder: Path, bundle: Path, **settings: object) -> Iterator[Running]:
    """Run a service with a model; it is gone at the end."""
    given = {"port": 0, "workers": 1, "folder": folder, "model": bundle, **settings}
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    env |= {PREFIX + name.upper(): str(value) for name, value in given.items()}
    command = [sys.executable, "-m", "apps.api"]
    running = None
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            running = Running(process, folder)
            yield running
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                if running is not None:
                    running.close()
