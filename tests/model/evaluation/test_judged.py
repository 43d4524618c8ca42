"""What figures are computed from, and the small made-up set that the tests of this room share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audio.errors import UsageError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip
from audio.segments import Segment, from_frames
from model.evaluation.judged import Judged

HOP = 320

N_FRAMES = 40


def made_up(*, n: int = 60, n_speakers: int = 6, seed: int = 0, skill: float = 1.5) -> list[Judged]:
    """Clips of 0.8 s, the classes in turn, judged by something that is right as often as its skill lets it.

    Every eleventh clip is an abstention, every seventeenth could not be judged.
    """
    return [_made_up(i, np.random.default_rng((seed, i)), n_speakers=n_speakers, skill=skill) for i in range(n)]


def _made_up(i: int, rng: np.random.Generator, *, n_speakers: int, skill: float) -> Judged:
    label, length = LABELS[i % 3], N_FRAMES * HOP
    onset = int(rng.integers(0, length // 2))
    segments = {REAL: (), FAKE: (Segment(0, length),), HYBRID: (Segment(onset, onset + int(rng.integers(960, 4_800))),)}
    speaker, generator = f"speaker {i // 3 % n_speakers}", "" if label == REAL else f"engine {i // 3 % 2}"
    clip = Clip(f"{i}.wav", label, segments[label], length, speaker, generator, traits={"shoe size": str(36 + i % 4)})
    if i % 17 == 16:
        return Judged(clip, length, reasons=("cannot be read",), failed=True)
    if i % 11 == 10:
        return Judged(clip, length, reasons=("no speech",), pitch_hz=100.0)
    is_fake = np.array([any(s.onset < (k + 1) * HOP and k * HOP < s.offset for s in clip.segments) for k in range(40)])
    frames = (1 / (1 + np.exp(-rng.normal(skill * (2.0 * is_fake - 1.0))))).astype(np.float32)
    shares = rng.dirichlet(1.0 + 2.0 * skill * (np.arange(3) == i % 3))
    verdict = LABELS[int(shares.argmax())]
    spans = [] if verdict == REAL else from_frames(frames >= 0.5, HOP, length)
    confident = tuple(replace(s, confidence=float(frames[s.onset // HOP : s.offset // HOP].mean())) for s in spans)
    return Judged(clip, length, float(1 - shares[0]), verdict, tuple(shares.tolist()), frames, HOP, confident)


def ideal(found: Judged, *, inverted: bool = False) -> Judged:
    """Let a clip be judged without a mistake, or without anything right: real is called fake, the others real."""
    is_fake = (found.clip.label != REAL) != inverted
    verdict = found.clip.label if not inverted else {REAL: FAKE, FAKE: REAL, HYBRID: REAL}[found.clip.label]
    frames = np.full(N_FRAMES, inverted, dtype=np.float32)
    for span in found.truth or ():
        frames[span.onset // HOP : -(-span.offset // HOP)] = not inverted
    spans = tuple(replace(span, confidence=1.0) for span in found.truth or ())
    wrong = (Segment(0, found.n_samples, FAKE, 1.0),) if is_fake else ()
    return Judged(
        found.clip,
        found.n_samples,
        score=float(is_fake),
        label=verdict,
        probabilities=tuple(float(label == verdict) for label in LABELS),
        frame_scores=frames,
        spans=wrong if inverted else spans,
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"score": float("nan")},
        {"score": float("inf")},
        {"probabilities": (0.5, float("nan"), 0.5)},
        {"probabilities": (0.5, 0.5)},
        {"frame_scores": np.array([0.1, np.nan], dtype=np.float32)},
        {"frame_scores": np.zeros((3, 1), dtype=np.float32)},
        {"hop_samples": 0},
    ],
)
def test_scores_that_are_none_are_refused_and_the_clip_is_named(bad):
    """Catches NaN that makes its way into a figure, and a message from which nobody finds the clip."""
    with pytest.raises(UsageError, match=r"^a/b\.wav: expected [^\n]*$"):
        Judged(Clip("a/b.wav", REAL), 320, **bad)


def test_a_score_of_zero_and_no_frames_at_all_are_allowed():
    """Catches a check that takes 0 for missing, or an empty array for a broken one."""
    found = Judged(Clip("a.wav", REAL), 100, score=0.0, frame_scores=np.zeros(0, dtype=np.float32))
    assert found.score == 0.0


@pytest.mark.parametrize(
    ("label", "segments", "n_samples", "expected"),
    [
        (REAL, (), 100, []),
        (REAL, (), 0, []),
        (REAL, (Segment(0, 100, REAL),), 100, []),
        (FAKE, (), 100, [(0, 100)]),
        (FAKE, (), 0, None),
        (FAKE, (Segment(10, 20),), 100, [(10, 20)]),
        (HYBRID, (), 100, None),
        (HYBRID, (Segment(0, 50, REAL),), 100, None),
        (HYBRID, (Segment(0, 50, REAL), Segment(50, 103)), 100, [(50, 100)]),
        (HYBRID, (Segment(50, 103),), 0, [(50, 103)]),
        (HYBRID, (Segment(100, 120),), 100, None),
    ],
)
def test_the_truth_is_what_is_known_of_fake_spans(label, segments, n_samples, expected):
    """Catches a hybrid without spans that counts as genuine throughout, and spans that reach behind the end."""
    truth = Judged(Clip("a.wav", label, segments), n_samples).truth
    assert (truth and [(span.onset, span.offset) for span in truth]) == expected


def test_clips_share_their_luck_with_their_speaker():
    """Catches clips of unknown speakers in one group, and a speaker who is named like a file."""
    clips = [Clip("a.wav", REAL, speaker="b.wav"), Clip("b.wav", REAL), Clip("c.wav", REAL), Clip("d.wav", REAL)]
    groups = [Judged(clip, 100).group for clip in (*clips, replace(clips[3], speaker="b.wav"))]
    assert groups[0] == groups[4]
    assert len(set(groups)) == 4
