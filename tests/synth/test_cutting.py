from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from babbling import babble

from audio.errors import AudioError
from audio.reading import read, write_wav
from synth.cutting import LEAST_SAMPLES, MOST_SAMPLES, cut, excerpts, trimmed


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """65 s: babble with silences of 0.6 s every 7 s."""
    samples = babble(1, seconds=65.0)
    for onset in range(7 * 16_000, samples.size, 7 * 16_000):
        samples[onset : onset + 9_600] *= 0.001
    path = tmp_path_factory.mktemp("long") / "long.wav"
    write_wav(path, samples)
    return path


def test_pieces_are_the_recording(long_recording: Path) -> None:
    """Catches samples lost or doubled where blocks and cuts meet."""
    pieces = list(cut(long_recording))
    assert np.array_equal(np.concatenate([samples for _, samples in pieces]), read(long_recording))
    assert [start for start, _ in pieces] == [0, *np.cumsum([samples.size for _, samples in pieces])[:-1]]
    assert all(LEAST_SAMPLES <= samples.size <= MOST_SAMPLES for _, samples in pieces[:-1])


def test_cuts_are_in_pauses(long_recording: Path) -> None:
    """Catches cuts through words."""
    for start, _ in list(cut(long_recording))[1:]:
        assert 0 <= start % (7 * 16_000) < 9_600


@pytest.mark.parametrize("n_samples", [0, 1, 16_000, MOST_SAMPLES, MOST_SAMPLES + 1])
def test_what_is_short_enough_stays_whole(n_samples: int, tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.resize(babble(2, seconds=2.0), n_samples))
    sizes = [samples.size for _, samples in cut(tmp_path / "a.wav")]
    assert sum(sizes) == n_samples
    assert len(sizes) == (2 if n_samples > MOST_SAMPLES else 1)


def test_without_a_pause_the_quietest_frame_is_cut(tmp_path: Path) -> None:
    """Catches a recording without a pause that is never cut."""
    roar = np.random.default_rng(1).standard_normal(25 * 16_000) * 0.1
    roar[240_000:240_320] *= 0.9
    write_wav(tmp_path / "a.wav", roar)
    (_, first), (start, _) = cut(tmp_path / "a.wav")
    assert first.size == start
    assert LEAST_SAMPLES <= start < MOST_SAMPLES


def test_excerpts(long_recording: Path) -> None:
    whole = read(long_recording)
    spans = [(5, 10), (10, 400_000), (700_000, 700_001), (900_000, 1_040_000), (1_039_990, 2_000_000)]
    for (onset, offset), samples in zip(spans, excerpts(long_recording, spans), strict=True):
        assert np.array_equal(samples, whole[onset:offset])


def test_trimming_leaves_a_margin() -> None:
    speech = np.zeros(100, dtype=bool)
    speech[[30, 60]] = True
    assert trimmed(speech, 32_000) == (20 * 320, 71 * 320)
    speech[[3, 99]] = True
    assert trimmed(speech, 32_010) == (0, 32_010)
    assert trimmed(np.zeros(100, dtype=bool), 32_000) == (0, 32_000)


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot be"):
        list(cut(tmp_path))
