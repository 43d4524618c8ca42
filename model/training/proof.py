"""What an export says beside the bundle that it was made from: the same recordings through both, window by window."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from audio.errors import ModelError
from audio.segments import SAMPLE_RATE
from model.bundle import Bundle
from model.judging.detector import Detector, Samples
from model.judging.runtime import Network
from model.judging.sessions import Float
from model.judging.systems import LogMelNetwork

FLOAT_LIMIT = 1e-4
"""Largest difference allowed of a frame score or a clip probability; float32 rounding over a window stays near 1e-6."""

INT8_FRAME_LIMIT = 0.05
"""Mean difference of the frame scores above which int8 is useless. Rounding weights to 8 bits moved them by 0.0004 to
0.0015 on average (docs/exports.md); thirty times that is no rounding any more."""

INT8_VERDICT_LIMIT = 0.1
"""Share of changed verdicts above which int8 is useless, from `INT8_LEAST_CLIPS` clips on: fewer make no share."""

INT8_LEAST_CLIPS = 10

REPEATS = 3
"""Each window is run so often, and the quickest counts: the first call of a new length also plans it."""

MADE_S = (0.9, 2.3, 10.0)
"""Lengths of the made sounds, beside one window and a sample less and more."""


@dataclass(frozen=True)
class Proof:
    """How far an export is from its bundle's ONNX network, and how fast beside it."""

    clips: int
    """Recordings that were compared."""
    not_compared: int
    """Recordings that neither network judges: too short, for example, or without speech."""
    windows: int
    audio_s: float
    """Length of the compared recordings together."""
    frame_difference: float
    """Largest difference of a frame score of a window."""
    mean_frame_difference: float
    probability_difference: float
    """Largest difference of a clip's calibrated probability of a class."""
    changed_verdicts: int
    ms_per_s: float
    """Milliseconds that the export's network takes for a second of the recordings; features are not counted."""
    onnx_ms_per_s: float
    """The same of the bundle's ONNX network, in turns with it."""

    def objection(self, *, int8: bool) -> str:
        """Say why the export must not be used, or ""."""
        if int8:
            share = self.changed_verdicts / self.clips if self.clips >= INT8_LEAST_CLIPS else 0.0
            if self.mean_frame_difference > INT8_FRAME_LIMIT or share > INT8_VERDICT_LIMIT:
                return (
                    f"expected frame scores within {INT8_FRAME_LIMIT:g} of the bundle's on average and at most"
                    f" {INT8_VERDICT_LIMIT:.0%} of the verdicts changed. Received:"
                    f" {self.mean_frame_difference:.3g} and {self.changed_verdicts} of {self.clips}"
                )
        elif (difference := max(self.frame_difference, self.probability_difference)) > FLOAT_LIMIT:
            return f"expected at most {FLOAT_LIMIT:g} from the bundle. Received: {difference:.3g}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """The figures as a JSON object."""
        return asdict(self)


def prove(bundle: Bundle, network: Network, recordings: Iterable[Samples]) -> Proof:
    """Run recordings through a bundle's ONNX network and through another one in turns, and compare.

    Parameters
    ----------
    bundle
        The bundle that the other one was made from.
    network
        The other one.
    recordings
        float32 (n,) at 16 kHz each; one at a time is held.

    Raises
    ------
    ModelError
        When there is nothing to compare, or a network fails.
    """
    pairs = _Pairs(bundle, network)
    for samples in recordings:
        pairs.add(samples)
    return pairs.proof()


def made_sounds(bundle: Bundle, *, seed: int = 0) -> Iterator[Samples]:
    """Make sounds that pass for speech, not real clips: noise in syllables, of lengths around a window's and others.

    Yields
    ------
    float32 (n,) at 16 kHz, the same ones for a seed.
    """
    window = bundle.window_samples
    lengths = [*(round(seconds * SAMPLE_RATE) for seconds in MADE_S), window - 1, window, window + 1]
    for index, n_samples in enumerate(lengths):
        yield _syllables(np.random.default_rng((seed, index)), n_samples)


def _syllables(rng: np.random.Generator, n_samples: int) -> Samples:
    """Noise whose spectrum falls with frequency, 4 syllables a second, at about -26 dBFS where it is loud."""
    time_s = np.arange(n_samples) / SAMPLE_RATE
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    spectrum /= 1.0 + np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE) / 500.0
    noise = np.fft.irfft(spectrum, n_samples)
    syllables = np.sin(np.pi * 2.0 * time_s + rng.uniform(0.0, np.pi)) ** 2
    return np.asarray(0.05 * syllables * noise / noise.std(), dtype=np.float32)


class _Pairs:
    """The two networks at work, and what has been found so far."""

    def __init__(self, bundle: Bundle, network: Network) -> None:
        self._ours, self._theirs = _Timed(Network(bundle.onnx_path)), _Timed(network)
        self._judges = [_Judge(bundle, timed) for timed in (self._ours, self._theirs)]
        self._lengths_s: list[float] = []
        self._not_compared = 0
        self._frames: list[Float] = []
        """Differences of the frame scores, an array for each window."""
        self._probabilities = [0.0]
        """Differences of the probabilities of a clip's classes."""
        self._changed = 0

    def add(self, samples: Samples) -> None:
        """Judge a recording with both."""
        ours, theirs = (judge.detect(samples) for judge in self._judges)
        answers = zip(self._ours.answered(), self._theirs.answered(), strict=True)
        if ours.label is None and theirs.label is None:
            self._not_compared += 1
            return
        self._lengths_s.append(len(samples) / SAMPLE_RATE)
        self._frames += [np.abs(a - b) for a, b in answers]
        pairs = zip(ours.probabilities.values(), theirs.probabilities.values(), strict=True)
        self._probabilities += [abs(a - b) for a, b in pairs if a is not None and b is not None]
        self._changed += ours.label != theirs.label

    def proof(self) -> Proof:
        """Sum up."""
        if not self._frames:
            raise ModelError("nothing to compare: no clip is long enough and holds speech")
        differences, audio_s = np.concatenate(self._frames), sum(self._lengths_s)
        return Proof(
            clips=len(self._lengths_s),
            not_compared=self._not_compared,
            windows=len(self._frames),
            audio_s=audio_s,
            frame_difference=float(differences.max()),
            mean_frame_difference=float(differences.mean()),
            probability_difference=max(self._probabilities),
            changed_verdicts=self._changed,
            ms_per_s=1_000 * self._theirs.seconds / audio_s,
            onnx_ms_per_s=1_000 * self._ours.seconds / audio_s,
        )


class _Timed(Network):
    """A network that notes its frame scores, and how long it takes."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._answers: list[Float] = []
        self.seconds = 0.0

    def run(self, features: Float) -> tuple[Float, Float]:
        """Judge one window, `REPEATS` times."""
        quickest = float("inf")
        for _ in range(REPEATS):
            started = time.perf_counter()
            frames, logits = self._network.run(features)
            quickest = min(quickest, time.perf_counter() - started)
        self.seconds += quickest
        self._answers.append(frames)
        return frames, logits

    def answered(self) -> list[Float]:
        """Give the frame scores of the windows since the last call."""
        answers, self._answers = self._answers, []
        return answers


class _Judge(Detector):
    """The detector of a bundle with another network in it."""

    def __init__(self, bundle: Bundle, network: Network) -> None:
        super().__init__(bundle.path, runtime="onnx")
        self._system = LogMelNetwork(network, bundle.features)
