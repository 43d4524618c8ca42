"""Hearing piece by piece, beside the same recording heard at once and beside the definition, window by window."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_model import RATE, voice

from audio.cleaning import is_steady, speech_frames
from audio.reading import write_wav
from audio.segments import n_frames
from model import Detector
from model.bundle import read_bundle
from model.features import log_mel
from model.judging.abstain import MIN_SPEECH_SAMPLES
from model.judging.quality import BLOCK_SAMPLES, measure
from model.judging.stream import PART_SAMPLES, PIECE_SAMPLES, Evidence, Listener
from model.judging.systems import open_system
from model.judging.windows import overlap_add, sliding_windows

WINDOW, HOP = 2 * RATE, 320
LENGTHS = (0, 1, 2, 159, 160, 320, WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + HOP, 3 * RATE + 77, 7 * RATE)


@pytest.fixture(scope="module")
def model(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    return bundle, open_system(bundle)


def speech(n_samples: int, seed: int = 0) -> np.ndarray:
    """Voice with a second of silence and a fake second in it."""
    samples = voice(np.random.default_rng(seed), n_samples / RATE, fake_s=[(1, 2)])
    samples[2 * RATE : 3 * RATE] = 0.0
    return samples[:n_samples]


def heard(model, samples: np.ndarray, sizes: list[int]):
    listener, done = Listener(*model), 0
    for size in sizes:
        listener.hear(samples[done : done + size])
        done += size
    listener.hear(samples[done:])
    assert listener.n_samples == len(samples)
    return listener.finish()


def by_definition(model, samples: np.ndarray) -> Evidence | None:
    """All windows of a recording that is there whole, and the rule of who may vote."""
    bundle, system = model
    marks = speech_frames(samples)
    if len(samples) < 2:
        return None
    windows = sliding_windows(len(samples), window_samples=WINDOW, step_samples=bundle.step_samples, hop_samples=HOP)
    scored = [system.network.run(log_mel(samples[w.onset : w.offset], bundle.features)) for w in windows]
    counts = [int(marks[w.onset // HOP : -(-w.offset // HOP)].sum()) for w in windows]
    enough = MIN_SPEECH_SAMPLES // HOP
    if marks.sum() < enough:
        return None
    enough = min(enough, max(counts))
    votes = [
        logits
        for w, count, (_, logits) in zip(windows, counts, scored, strict=True)
        if count >= enough and not is_steady(samples[w.onset : w.offset])
    ]
    if not votes:
        return None
    pieces = [(w.onset // HOP, scores) for w, (scores, _) in zip(windows, scored, strict=True)]
    return Evidence(overlap_add(pieces, n_frames(len(samples), HOP)), np.stack(votes), marks)


def assert_same(one: Evidence | None, other: Evidence | None) -> None:
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        for name in ("frame_scores", "window_logits", "speech"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_it_is_what_the_definition_says(model, n_samples):
    """Catches a last window in the wrong place, a window run too early, and frames at the end that nobody marks."""
    samples = speech(n_samples)
    evidence, quality = heard(model, samples, [])
    assert_same(evidence, by_definition(model, samples))
    assert quality == measure(samples, speech_frames(samples))


@pytest.mark.parametrize("seed", range(8))
def test_pieces_of_any_size_say_the_same(model, seed):
    """Bit for bit, for single samples, odd blocks and nothing at all between them."""
    rng = np.random.default_rng(seed)
    samples = speech(int(rng.integers(1, 9 * RATE)), seed)
    sizes = [int(rng.choice([0, 1, 7, 319, 320, 321, 4_000, 33_333, 70_000])) for _ in range(40)]
    whole, pieces = heard(model, samples, []), heard(model, samples, sizes)
    assert_same(whole[0], pieces[0])
    assert whole[1] == pieces[1]


def test_little_is_held_however_long_it_goes_on(model):
    """Catches a listener that keeps the recording, which ten hours would not fit."""
    listener = Listener(*model)
    for _ in range(30):
        listener.hear(speech(5 * RATE))
        assert len(listener._held) <= 2 * WINDOW
        assert len(listener._meter._held) <= 2 * WINDOW
        assert len(listener._recent) <= PART_SAMPLES // HOP
        assert len(listener._meter._kept) <= PART_SAMPLES // BLOCK_SAMPLES


def test_a_file_longer_than_a_piece_is_judged_like_its_samples(tiny_bundle, tmp_path):
    samples = speech(PIECE_SAMPLES + 3 * RATE + 5, 3)
    write_wav(tmp_path / "long.wav", samples)
    exact = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    detector = Detector(tiny_bundle)
    one, other = detector.detect(tmp_path / "long.wav"), detector.detect(exact)
    np.testing.assert_array_equal(one.frame_scores, other.frame_scores)
    assert (one.label, one.spans, one.ends, one.quality) == (other.label, other.spans, other.ends, other.quality)
