"""What a microphone hears, through PortAudio: which devices there are, and their sound as it comes.

PortAudio calls back on a thread of its own. What it brings waits in a queue of bounded length until it is taken; what
does not fit, and what PortAudio lost before, is counted.
"""

from __future__ import annotations

import queue
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audio.errors import AudioError, EngineError, UsageError
from audio.reading import Stream, resampled_mono

Samples = npt.NDArray[np.float32]

MOST_CHANNELS = 2
"""A device with more inputs is heard at its first two: sound servers offer 32 copies."""

MOST_WAITING = 3_000
"""Blocks that wait to be taken: PortAudio's are 10 ms and more, so half a minute at least."""

POLL_S = 0.2
"""How long to wait for sound before looking whether the device is still there."""


@dataclass(frozen=True)
class Device:
    """One input."""

    index: int
    """By which it can be asked for, as by a part of its name."""
    name: str
    channels: int
    rate_hz: int
    is_default: bool


def devices() -> list[Device]:
    """Return the inputs of this machine.

    Raises
    ------
    EngineError
        The package `sounddevice` or the library PortAudio is missing.
    """
    sounddevice = _sounddevice()
    chosen = sounddevice.default.device[0]
    return [
        Device(index, facts["name"], facts["max_input_channels"], round(facts["default_samplerate"]), index == chosen)
        for index, facts in enumerate(sounddevice.query_devices())
        if facts["max_input_channels"] > 0
    ]


class Microphone:
    """One input of this machine, not opened yet."""

    def __init__(self, device: str | None = None) -> None:
        """Find an input.

        Parameters
        ----------
        device
            its index, or a part of its name that no other one has; None: the system's own choice.

        Raises
        ------
        EngineError
            The package `sounddevice` or the library PortAudio is missing.
        UsageError
            There is no such input, or several.
        AudioError
            There is no input at all.
        """
        self._sounddevice = _sounddevice()
        self._device = int(device) if device is not None and device.isdecimal() else device
        facts = self._facts()
        self.name = str(facts["name"])
        self._rate_hz = round(facts["default_samplerate"])
        self._channels = min(MOST_CHANNELS, facts["max_input_channels"])
        self._queue: queue.Queue[Samples] = queue.Queue(MOST_WAITING)
        self.overflows = 0
        """How many times sound was lost, because it was not taken in time."""

    def pieces(self) -> Generator[Samples]:
        """Open the device and yield the mean of its channels as float32 arrays (n,) at 16 kHz, without an end.

        Raises
        ------
        AudioError
            The device cannot be opened, or goes away.
        """
        try:
            stream = self._sounddevice.InputStream(
                samplerate=self._rate_hz,
                device=self._device,
                channels=self._channels,
                dtype="float32",
                latency="high",  # the safer of the two, and still a fraction of what is allowed
                callback=self._take,
            )
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise AudioError(f"{self.name}: cannot be opened: {_one_line(error)}") from None
        with stream:
            yield from resampled_mono(self.name, Stream(self._rate_hz, self._channels, self._blocks(stream)))

    def _take(self, block: Samples, n_frames: int, time: Any, status: Any) -> None:
        """Take a block, float32 (n, channels), on PortAudio's thread; its memory is PortAudio's."""
        self.overflows += bool(status.input_overflow)
        try:
            self._queue.put_nowait(block.copy())
        except queue.Full:
            self.overflows += 1

    def _blocks(self, stream: Any) -> Iterator[Samples]:
        """Yield all that waits, in one piece: whoever is behind catches up."""
        while True:
            try:
                waiting = [self._queue.get(timeout=POLL_S)]
            except queue.Empty:
                if not stream.active:
                    raise AudioError(f"{self.name}: the device is gone") from None
                continue
            waiting += [self._queue.get_nowait() for _ in range(self._queue.qsize())]
            yield np.concatenate(waiting)

    def _facts(self) -> Any:
        try:
            facts = self._sounddevice.query_devices(self._device, "input")
        except (self._sounddevice.PortAudioError, ValueError) as error:
            if self._device is None:
                raise AudioError("no microphone was found: 'script.py live --list-devices' lists the inputs") from None
            told = f"--device: expected one of 'script.py live --list-devices', received {self._device!r}"
            raise UsageError(f"{told} ({_one_line(error)})") from None
        return facts


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise EngineError("sounddevice was not found: install it with 'pip install sounddevice'") from None
    except OSError:  # the package is there, and its library is not: wheels for Linux bring none
        raise EngineError("PortAudio was not found: install it with 'sudo apt-get install libportaudio2'") from None
    return sounddevice


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
