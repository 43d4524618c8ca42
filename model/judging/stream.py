"""Hearing a recording piece by piece, of any length, live or from a file: the same evidence, bit for bit.

    samples   |-------------------------------------------------->      pieces as they come
    marks     |==  =====    =======   ==                                speech or not, every 20 ms
    windows   [=============)                                           each runs as soon as nothing can
                     [=============)                                    change it any more
    held                    |------------->                             all that is kept of the samples

Kept for each second are fifty scores and marks and a few numbers about the sound: ten hours take some 60 MB.

At any moment the listener can be asked what would be said if the recording ended now (`so_far`). That runs one window
more, the last one of all, on the side. Frames that no window to come can reach are final: those before `held`.
"""

from __future__ import annotations

from bisect import bisect_left
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audio.cleaning import SpeechMarker, is_steady
from audio.errors import ModelError
from audio.segments import n_frames
from model.bundle import Bundle
from model.judging.abstain import MIN_CLIP_SAMPLES, MIN_SPEECH_SAMPLES
from model.judging.quality import BLOCK_SAMPLES, Meter, Quality
from model.judging.systems import System
from model.judging.windows import Joined

Samples = npt.NDArray[np.float32]

PIECE_SAMPLES = 480_000
"""A recording that is there whole is heard in pieces of 30 s, so that the windows of a long one are not copied."""

PART_SAMPLES = 480_000
"""What is said in between is about the last 30 s: as a clip is judged, and at a cost that does not grow."""

MARK_PIECES = 1_000
"""So many pieces of marks are joined into one, so that those of tiny pieces of sound take no more than others."""


@dataclass(frozen=True, eq=False, slots=True)
class Evidence:
    """What the model says about a recording, before thresholds and calibration."""

    frame_scores: Samples
    """P(fake) per frame, float32 (n_frames,), read-only."""
    window_logits: Samples
    """Clip logits of each window that has something to say, float32 (n_votes, 3), at least one."""
    speech: npt.NDArray[np.bool_]
    """Which frames are speech, bool (n_frames,)."""

    @property
    def mean_frame_score(self) -> float:
        """Mean P(fake) of the frames with speech; of all where there is none."""
        heard = self.frame_scores[self.speech] if self.speech.any() else self.frame_scores
        return float(heard.mean(dtype=np.float64))


class Part(NamedTuple):
    """What `Listener.so_far` tells of the last part of a recording, counted from `onset`."""

    onset: int
    """Where the part begins, in samples."""
    evidence: Evidence | None
    """As from `Listener.finish`."""
    quality: Quality


class _Vote(NamedTuple):
    """What a window says about the clip, and whether it may."""

    onset: int
    n_speech: int
    steady: bool
    logits: Samples


class Listener:
    """Hears one recording."""

    def __init__(self, bundle: Bundle, system: System) -> None:
        """Start a recording.

        Parameters
        ----------
        bundle, system
            The model, and what runs it.
        """
        self._bundle, self._system = bundle, system
        self._held: Samples = np.zeros(0, dtype=np.float32)
        self._first_held = self._first_recent = self._n_samples = self._n_marked = self._next_onset = 0
        self._marker = SpeechMarker(bundle.frame_hop_samples)
        self._speech: list[npt.NDArray[np.bool_]] = []
        self._recent: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        # A part is up to a block shorter, and the last window has to lie within it.
        self._part_samples = max(PART_SAMPLES, bundle.window_samples + 2 * BLOCK_SAMPLES)
        self._meter = Meter(n_kept=self._part_samples // BLOCK_SAMPLES)
        self._joined = Joined()
        self._votes: list[_Vote] = []

    @property
    def n_samples(self) -> int:
        """How much was heard."""
        return self._n_samples

    @property
    def n_final(self) -> int:
        """Up to which sample the frame scores are final: no window to come covers any of it."""
        return self._first_held

    def final_scores(self, onset: int) -> Samples:
        """Return the scores of the frames from sample `onset`, which begins one, to `n_final`, float32 (n,)."""
        hop = self._bundle.frame_hop_samples
        return self._joined.between(onset // hop, self.n_final // hop)

    def hear(self, samples: Samples) -> None:
        """Take the next samples, float32 (n,) at 16 kHz, finite, and run the windows that are whole now.

        Raises
        ------
        ModelError
            The model does not do what its bundle says.
        """
        for first in range(0, len(samples), PIECE_SAMPLES):
            piece = samples[first : first + PIECE_SAMPLES]
            self._held = np.concatenate([self._held, piece])
            self._n_samples += len(piece)
            self._mark(whole_frames_only=True)
            self._run_whole_windows()
            self._forget()

    def so_far(self) -> Part:
        """Tell what `finish` would tell of the last `PART_SAMPLES`, or up to a block less; the recording goes on.

        Of a recording that is no longer, this is what `finish` would tell now, bit for bit. Of a longer one, its votes
        are those of the windows that lie within the part, its frame scores those of the recording.

        Raises
        ------
        ModelError
            The model does not do what its bundle says.
        """
        onset = self._part_onset()
        return Part(onset, *self._since(onset).finish())

    def finish(self) -> tuple[Evidence | None, Quality]:
        """Hear the end.

        Returns
        -------
        What the windows say, None where the recording is too short or holds no speech; and what it was like.

        Raises
        ------
        ModelError
            The model does not do what its bundle says.
        """
        self._mark(whole_frames_only=False)
        quality = self._meter.finish()
        speech = np.concatenate([_NO_MARKS, *self._speech])
        if self._n_samples < MIN_CLIP_SAMPLES:
            return None, quality
        hop, window = self._bundle.frame_hop_samples, self._bundle.window_samples
        self._run(max(0, self._n_samples - window) // hop * hop, self._n_samples)
        logits = _heard(self._votes, enough=MIN_SPEECH_SAMPLES // hop, n_speech=int(np.count_nonzero(speech)))
        if not logits:
            return None, quality
        scores = self._joined.scores(n_frames(self._n_samples, hop))
        return Evidence(_read_only(scores), np.stack(logits), speech), quality

    def _mark(self, *, whole_frames_only: bool) -> None:
        """Mark speech in what came since the last time, and measure it."""
        new = self._held[self._n_marked - self._first_held :]
        if whole_frames_only:
            new = new[: len(new) - len(new) % self._bundle.frame_hop_samples]
        marks = self._marker.mark(new)
        self._meter.hear(new, marks)
        self._speech.append(marks)
        if len(self._speech) >= MARK_PIECES:
            self._speech = [np.concatenate(self._speech)]
        self._recent = np.concatenate([self._recent, marks])
        self._n_marked += len(new)

    def _run_whole_windows(self) -> None:
        """Run the windows behind which at least a frame follows: the last window of all is another one."""
        bundle = self._bundle
        while self._n_samples >= self._next_onset + bundle.window_samples + bundle.frame_hop_samples:
            self._run(self._next_onset, self._next_onset + bundle.window_samples)
            self._next_onset += bundle.step_samples

    def _run(self, onset: int, offset: int) -> None:
        bundle, hop = self._bundle, self._bundle.frame_hop_samples
        samples = self._held[onset - self._first_held : offset - self._first_held]
        scores, logits = self._system.judge(samples)
        expected = n_frames(len(samples), hop)
        if len(scores) != expected:
            told = f"expected {expected} frame scores for {len(samples)} samples, received {len(scores)}"
            raise ModelError(f"{bundle.path}: {told}")
        self._joined.add(onset // hop, scores)
        marks = self._recent[(onset - self._first_recent) // hop : -(-(offset - self._first_recent) // hop)]
        n_speech = int(np.count_nonzero(marks))
        self._votes.append(_Vote(onset, n_speech, n_speech > 0 and is_steady(samples), logits))

    def _forget(self) -> None:
        """Let go of what no window will ask for: neither the next one, nor the last one, wherever the end will be."""
        hop = self._bundle.frame_hop_samples
        last_at_least = max(0, self._n_samples - self._bundle.window_samples) // hop * hop
        first = min(self._next_onset, last_at_least)
        self._held = self._held[first - self._first_held :].copy()
        self._first_held = first
        part = min(first, self._part_onset())
        self._recent = self._recent[(part - self._first_recent) // hop :]
        self._first_recent = part

    def _part_onset(self) -> int:
        """Where the last part begins: at a block of the meter, and so at a frame."""
        return max(0, -(-(self._n_samples - self._part_samples) // BLOCK_SAMPLES)) * BLOCK_SAMPLES

    def _since(self, onset: int) -> Listener:
        """Return a listener that knows what this one does from `onset` on, counted from there, and goes its own way."""
        later, hop = Listener(self._bundle, self._system), self._bundle.frame_hop_samples
        later._held, later._recent = self._held, self._recent[(onset - self._first_recent) // hop :]
        later._first_held, later._n_samples = self._first_held - onset, self._n_samples - onset
        later._n_marked, later._next_onset = self._n_marked - onset, self._next_onset - onset
        later._marker, later._speech = copy(self._marker), [later._recent]
        later._meter, later._joined = self._meter.since(onset // BLOCK_SAMPLES), self._joined.since(onset // hop)
        later._votes = self._votes[bisect_left(self._votes, onset, key=lambda vote: vote.onset) :]
        return later


_NO_MARKS: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)


def _heard(votes: list[_Vote], *, enough: int, n_speech: int) -> list[Samples]:
    """Return what the windows say that have something to say about the clip.

    Those with enough speech that is no steady sound. Speech scattered so thinly that no window has enough is judged
    where there is most of it. No window votes when the whole recording has too little of it, or nothing but tones,
    hum and the like.
    """
    if n_speech < enough:
        return []
    enough = min(enough, max(vote.n_speech for vote in votes))
    return [vote.logits for vote in votes if vote.n_speech >= enough and not vote.steady]


def _read_only(array: Samples) -> Samples:
    array.setflags(write=False)
    return array
