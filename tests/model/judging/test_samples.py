"""Arrays from callers: scaled, resampled, or refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from audio.errors import AudioError
from audio.reading import read
from model.judging.samples import as_samples


@pytest.mark.parametrize(
    ("pcm", "expected"),
    [
        (np.array([-32768, 0, 16384], np.int16), [-1, 0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1, 0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1, 0, 0.5]),
        (np.array([-1, 0, 2.5], np.float64), [-1, 0, 2.5]),
        (np.array([-1, 0, 0.5], np.float16), [-1, 0, 0.5]),
        ([0.25, -0.25], [0.25, -0.25]),
    ],
)
def test_formats_and_their_full_scale(pcm, expected):
    samples = as_samples(pcm, sample_rate=16_000)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, np.array(expected, np.float32))


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
def test_an_array_gives_what_its_file_gives(tmp_path, rate):
    samples = np.random.default_rng(rate).uniform(-0.5, 0.5, rate).astype(np.float32)
    soundfile.write(tmp_path / "clip.wav", samples, rate, subtype="FLOAT")
    np.testing.assert_array_equal(as_samples(samples, sample_rate=rate), read(tmp_path / "clip.wav"))


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_no_samples(rate):
    assert as_samples([], sample_rate=rate).shape == (0,)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 100)), r"one channel of shape \(n,\), received shape \(2, 100\)"),
        (np.float32(0), r"received shape \(\)"),
        (np.zeros(3, np.int64), "expected floats or uint8, int16, int32, received int64"),
        (np.zeros(3, bool), "received bool"),
        (np.zeros(3, complex), "received complex128"),
        (np.array(["a", "b"]), "received <U1"),
        ([[1.0], [1.0, 2.0]], "expected an array of numbers"),
        (np.array([0, np.nan, np.inf, 1]), "received 2 of 4 that are not"),
        (np.array([0, 1e7]), "received 1e[+]07"),
    ],
)
def test_what_is_no_mono_audio(array, message):
    with pytest.raises(AudioError, match=message):
        as_samples(array, sample_rate=16_000)


@pytest.mark.parametrize("rate", [0, -16_000, 1, 10**9, True, float("nan"), "16000", None])
def test_impossible_rates(rate):
    with pytest.raises(AudioError, match="sample_rate: expected 2000 to 768000 Hz"):
        as_samples(np.zeros(100), sample_rate=rate)
