"""Sounds for the tests, made here and encoded by a real ffmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.ffmpeg import find_ffmpeg


def chirp(seconds: float, *, rate_hz: int = 16_000, level: float = 0.3) -> np.ndarray:
    """A sweep from 200 to 2,000 Hz as float32 (n,): narrow enough for every codec, different at every moment."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * (200 * t + 900 * t**2 / max(seconds, 1e-9))
    return (level * np.sin(phase)).astype(np.float32)


@pytest.fixture
def encode(tmp_path: Path) -> Callable[..., Path]:
    """encode(name, *ffmpeg options, seconds=, rate_hz=) -> path of the chirp in that format."""

    def make(name: str, *options: str, seconds: float = 1.0, rate_hz: int = 16_000) -> Path:
        wav = tmp_path / "to_encode.wav"
        soundfile.write(wav, chirp(seconds, rate_hz=rate_hz), rate_hz)
        command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", "-i", str(wav), *options, str(tmp_path / name)]
        subprocess.run(command, check=True)
        return tmp_path / name

    return make
