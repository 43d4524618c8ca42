"""FARGAN from few and coarse numbers: a neural codec, or a vocoder behind an acoustic model that predicts smoothly.

The same network as in `synth.engines.fargan` renders features that were thinned in time, rounded and, in half of the
recordings, moved in pitch. And it hears most recordings faster or slower than they are, and is played back at their
own speed, so that its frames and the traces it leaves lie elsewhere in time and frequency, as those of vocoders for
24 kHz do. All amounts are drawn anew for every recording: many generators with one voice box. Who holds this engine
out should hold out `fargan` too.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import soxr

from synth.engines import source_of
from synth.engines.fargan import CODED, Features, copied, fargan_version
from synth.pcm import Samples, fitted

N_CEPSTRA = 18

PITCH = 18
"""Column of the pitch, in octaves."""

HOLD_FRAMES = (1, 2, 3)
"""Every how many frames of 10 ms one is kept, and the others interpolated."""

STEP = (0.05, 0.5)
"""Range of the step that cepstra are rounded to; from frame to frame they change by 0.13 (18th) to 1.1 (first)."""

PITCH_SHIFT_OCTAVES = 0.3
"""How far pitch is moved at most, up or down."""

STRETCH = (0.85, 1.5)
"""Range of what a recording's length is multiplied with before it is copied, log-uniform: frames of 6.7 to 11.8 ms.
Faster ones lose what lies above 6.8 kHz; slower ones lose nothing, and the lowest voices stay within the 62 Hz that
the network can tell."""


class FarganCoded:
    """Resynthesis with FARGAN from coarse features."""

    name = "fargan-coded"
    makes_twins = True
    languages: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the hash of the program and the settings; raise `EngineError` when it is missing."""
        holds = "/".join(map(str, HOLD_FRAMES))
        return f"{fargan_version(self.name)}, coded 2, holds {holds}, steps {STEP[0]:g} to {STEP[1]:g}"

    def render(
        self, samples: Samples | None, *, text: str = "", language: str = "", rng: np.random.Generator
    ) -> Samples:
        """Resynthesise `samples` with thinning, rounding, pitch and speed drawn from `rng`."""
        given = source_of(samples, self.name)
        hold, step = int(rng.choice(HOLD_FRAMES)), rng.uniform(*STEP)
        shift = rng.uniform(-PITCH_SHIFT_OCTAVES, PITCH_SHIFT_OCTAVES) * rng.integers(2)
        stretch = float(np.exp(rng.uniform(*np.log(STRETCH))))
        stretched = np.asarray(soxr.resample(given, 1.0, stretch), dtype=np.float32)
        copy = copied(self.name, stretched, partial(coarse, hold=hold, step=step, shift=shift))
        return fitted(np.asarray(soxr.resample(copy, stretch, 1.0), dtype=np.float32), given.size)


def coarse(features: Features, *, hold: int, step: float, shift: float) -> Features:
    """Keep every `hold`-th frame, round its cepstra to multiples of `step`, and move the pitch by `shift` octaves.

    The others of the 20 numbers that are heard are interpolated between the frames kept, so that nothing moves in time.
    """
    frames = np.arange(len(features))
    kept = frames[::hold]
    rounded = features[kept, :CODED].astype(np.float64)
    rounded[:, :N_CEPSTRA] = np.round(rounded[:, :N_CEPSTRA] / step) * step
    rounded[:, PITCH] += shift
    result = features.copy()
    for column in range(CODED):
        result[:, column] = np.interp(frames, kept, rounded[:, column])
    return result


ENGINE = FarganCoded()
