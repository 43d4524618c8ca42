"""FARGAN: a neural vocoder copies any voice, by the program `fargan_demo` that the source of Opus 1.5 builds.

Valin, Mustafa and Büthe, "Very low complexity speech synthesis using framewise autoregressive GAN (FARGAN) with pitch
prediction", IEEE Signal Processing Letters 31, 2024. Twenty numbers for each 10 ms, 18 cepstral coefficients, the pitch
and how strong it is, go through a network of 820,000 parameters, trained against discriminators as the vocoders of
today's speech synthesis are.

No package brings the program. In the source of Opus 1.5.2 (opus-codec.org):

    ./configure --enable-deep-plc --disable-shared && make fargan_demo

and copy `fargan_demo` to a folder on PATH. Who holds this engine out should hold out `fargan-coded` too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audio.digest import file_sha256
from audio.errors import EngineError
from synth.engines import source_of
from synth.engines.programs import Program
from synth.pcm import Samples, fitted

INSTALL = (
    "build it from the source of Opus 1.5.2 (opus-codec.org): ./configure --enable-deep-plc --disable-shared && make "
    "fargan_demo, and copy fargan_demo to a folder on PATH"
)

FRAME_SAMPLES = 160

N_FEATURES = 36
"""Numbers a frame in its files; the last 16, predictor coefficients, are not read again."""

CODED = 20
"""Numbers a frame that the network hears: 18 cepstral coefficients, pitch, strength of pitch."""

WARM_UP_FRAMES = 5
"""Frames that the program takes to begin with and renders nothing for: here they are silence before the source."""

LAG_SAMPLES = 240
"""How late its output is, over the warm-up: medians of 30 recordings' envelopes all lay between 224 and 248."""

Features = npt.NDArray[np.float32]
"""(frames, 36), a row for each 10 ms."""


class Fargan:
    """Analysis and resynthesis with FARGAN."""

    name = "fargan"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the hash of the program, which has no number; raise `EngineError` when it is missing."""
        return fargan_version(self.name)

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples`; the network has no noise, so `rng` is not drawn from."""
        return copied(self.name, source_of(samples, self.name), lambda features: features)


def fargan_version(engine: str) -> str:
    """Return the program's hash and the settings of an engine that runs it.

    Raises
    ------
    EngineError
        When the program is missing.
    """
    return f"fargan_demo {file_sha256(Path(program(engine).find()))[:16]}, lag {LAG_SAMPLES}"


def program(engine: str) -> Program:
    """Return the program as the engine of that name runs it."""
    return Program(engine, "fargan_demo", INSTALL)


def copied(engine: str, given: Samples, change: Callable[[Features], Features]) -> Samples:
    """Resynthesise a recording from its features.

    Parameters
    ----------
    engine
        Whose name begins every message.
    given
        float32 (n,) at 16 kHz.
    change
        What is done to the features before they are rendered.

    Returns
    -------
    float32 (n,) at 16 kHz.

    Raises
    ------
    EngineError
        When the program is missing or fails.
    """
    if not given.any():
        return given.copy()  # the network hums a little in silence
    before = WARM_UP_FRAMES * FRAME_SAMPLES
    n_frames = -(-(before + given.size + LAG_SAMPLES) // FRAME_SAMPLES)
    padded = np.zeros(n_frames * FRAME_SAMPLES, dtype=np.float32)
    padded[before : before + given.size] = given
    with tempfile.TemporaryDirectory(prefix=f"{engine}-") as folder:
        heard, numbers, spoken = (Path(folder, name) for name in ("heard.pcm", "features.f32", "spoken.pcm"))
        np.clip(np.round(padded * 32_768), -32_768, 32_767).astype("<i2").tofile(heard)
        program(engine).run(["-features", str(heard), str(numbers)])
        features = _read(engine, numbers, "<f4", n_frames * N_FEATURES).reshape(n_frames, N_FEATURES)
        change(features).astype("<f4").tofile(numbers)
        program(engine).run(["-fargan-synthesis", str(numbers), str(spoken)])
        rendered = _read(engine, spoken, "<i2", padded.size - before) / np.float32(32_768)
    return fitted(rendered[LAG_SAMPLES:], given.size)


def _read(engine: str, path: Path, dtype: str, size: int) -> npt.NDArray[np.float32]:
    """Return the numbers in a file that the program wrote, as many as there must be."""
    numbers = np.fromfile(path, dtype) if path.exists() else np.empty(0)
    if numbers.size != size:
        raise EngineError(f"{engine}: expected {size} numbers from fargan_demo, received {numbers.size}")
    return numbers.astype(np.float32)


ENGINE = Fargan()
