"""Other people's programs: run without a shell, for a limited time, and quoted in one line when they fail.

What a program says goes to files, not pipes, and it leads a group of processes that is stopped as a whole: neither
a long text nor a child of a program that was stopped can make the caller wait.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio.errors import AudioError, EngineError
from audio.reading import Limits, read
from synth.pcm import Samples

LAST_WORDS = 200
"""How many characters of its last line are quoted when a program fails."""

LONGEST = Limits(max_seconds=300.0)
"""More sound than this is no rendering of one sentence or excerpt, but a program that does not stop."""

HEARD_BYTES = 1 << 20
"""How much is kept of what a program says."""


@dataclass(frozen=True)
class Program:
    """A program that an engine runs.

    `engine` begins every message, `name` is looked for on PATH (or is a path), `install` says how to get it.
    """

    engine: str
    name: str
    install: str
    seconds_at_most: float = 60.0

    def find(self) -> str:
        """Return the path of the program; raise `EngineError` with the install command when there is none."""
        found = shutil.which(self.name)
        if found is None:
            raise EngineError(f"{self.engine}: the program {self.name} was not found: {self.install}")
        return found

    def run(self, arguments: Sequence[str], *, given: str = "", success: tuple[int, ...] = (0,)) -> str:
        """Run the program.

        Parameters
        ----------
        arguments
            All after its name, passed on as they are.
        given
            What it reads from its standard input.
        success
            With which exit statuses it has not failed.

        Returns
        -------
        what it wrote to its standard output

        Raises
        ------
        EngineError
            When it is missing, cannot be started, takes longer than `seconds_at_most`, or ends with another
            status; the message ends with its last line.
        """
        path = self.find()
        with tempfile.TemporaryDirectory(prefix="synth-") as folder:
            said, complained = Path(folder, "out"), Path(folder, "err")
            status = self._status([path, *arguments], given, (said, complained))
            if status not in success:
                last = _last_line(complained) or _last_line(said)
                raise EngineError(f"{self.engine}: {self.name} failed with status {status}{last and ': '}{last}")
            return _text(said)

    def _status(self, command: list[str], given: str, heard: tuple[Path, Path]) -> int:
        """Return the exit status of a command, negative for the signal that ended it."""
        with tempfile.TemporaryFile() as stdin, heard[0].open("wb") as stdout, heard[1].open("wb") as stderr:
            try:
                stdin.write(given.encode())
                stdin.seek(0)
                process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)
            except (OSError, ValueError) as error:
                raise EngineError(f"{self.engine}: {self.name} cannot be run: {error}") from None
            try:
                return process.wait(self.seconds_at_most)
            except subprocess.TimeoutExpired:
                took = f"took longer than {self.seconds_at_most:g} s"
                raise EngineError(f"{self.engine}: {self.name} {took} and was stopped") from None
            finally:
                _end(process)


@contextmanager
def wav_to_write(engine: str) -> Iterator[Path]:
    """Lend the path of a WAV file that a program may write, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{engine}-") as folder:
        yield Path(folder, "spoken.wav")


def read_rendered(engine: str, wav: Path, *, may_be_silent: bool = False) -> Samples:
    """Read what a program has rendered, at any sampling rate and in any number of channels.

    Parameters
    ----------
    engine
        Whose program it was; begins every message.
    wav
        Where it should have written.
    may_be_silent
        For copies of what may be silent itself.

    Returns
    -------
    float32 (n,) at 16 kHz.

    Raises
    ------
    EngineError
        When there is no recording, or it is damaged, silent or longer than `LONGEST`.
    """
    if not wav.exists():
        raise EngineError(f"{engine}: expected a recording, but the program wrote none")
    try:
        samples = read(wav, limits=LONGEST)
    except AudioError as error:
        raise EngineError(f"{engine}: what the program wrote is no recording: {error}") from None
    if not may_be_silent and not np.any(samples):
        raise EngineError(f"{engine}: expected speech, but the program wrote {samples.size} samples of silence")
    return samples


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and whatever it has started."""
    if process.poll() is not None:
        return
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
    return lines[-1][:LAST_WORDS] if lines else ""


def _text(path: Path) -> str:
    """Return the end of a file as text, whatever bytes are in it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - HEARD_BYTES))
        return file.read().decode(errors="replace")
