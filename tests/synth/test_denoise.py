from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from babbling import babble, lag_samples

from synth.denoise import LEAST_SAMPLES, _overlap_added, spectral_gate, spectral_subtract, wavelet
from synth.pcm import Samples, from_db, rms_dbfs

Denoiser = Callable[[Samples], Samples]

DENOISERS = pytest.mark.parametrize("denoise", [spectral_gate, spectral_subtract, wavelet])


def noisy(speech: Samples, *, snr_db: float, seed: int = 1) -> Samples:
    noise = np.random.default_rng(seed).standard_normal(speech.size).astype(np.float32)
    return speech + noise * np.float32(from_db(rms_dbfs(speech) - snr_db - rms_dbfs(noise)))


def snr_db(samples: Samples, clean: Samples) -> float:
    return rms_dbfs(clean) - rms_dbfs(samples - clean)


@DENOISERS
@pytest.mark.parametrize("snr", [5.0, 15.0])
def test_comes_nearer_to_what_was_clean(denoise: Denoiser, snr: float) -> None:
    """Catches noise learnt from the speech, which takes more of the voice than of the noise."""
    speech = babble(1, seconds=3.0)
    given = noisy(speech, snr_db=snr)
    assert snr_db(denoise(given), speech) > snr_db(given, speech) + 2.0


@DENOISERS
def test_noise_goes_where_nobody_speaks(denoise: Denoiser) -> None:
    speech = babble(2, seconds=3.0)
    speech[20_000:30_000] = 0.0
    given = noisy(speech, snr_db=20.0)
    pause = slice(22_000, 28_000)
    assert rms_dbfs(denoise(given)[pause]) < rms_dbfs(given[pause]) - 10.0


@DENOISERS
def test_keeps_the_place_of_every_sample(denoise: Denoiser) -> None:
    """Catches a delay of half a frame."""
    given = noisy(babble(3, seconds=2.0), snr_db=10.0)
    assert lag_samples(given, denoise(given)) == 0


@DENOISERS
@pytest.mark.parametrize("n_samples", [0, 1, 511, 1_024, LEAST_SAMPLES - 1, LEAST_SAMPLES, 12_345, 16_001])
def test_every_length_and_every_dullness(denoise: Denoiser, n_samples: int) -> None:
    """Catches division by the noise of a silent recording, and transforms longer than their input."""
    impulse = np.zeros(n_samples, dtype=np.float32)
    impulse[n_samples // 2 : n_samples // 2 + 1] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (babble(4, seconds=1.1)[:n_samples], 0 * impulse, 0 * impulse + np.float32(0.3), impulse):
            cleaned = denoise(given)
            assert cleaned.shape == given.shape
            assert cleaned.dtype == np.float32
            assert np.isfinite(cleaned).all()


@DENOISERS
def test_digital_silence_is_not_taken_for_the_noise(denoise: Denoiser) -> None:
    """Catches a noise estimate of zero, after which nothing is cleaned."""
    speech = babble(5, seconds=3.0)
    given = noisy(speech, snr_db=10.0)
    given[:16_000] = 0.0
    assert snr_db(denoise(given)[16_000:], speech[16_000:]) > snr_db(given[16_000:], speech[16_000:]) + 1.5


@DENOISERS
def test_changes_neither_its_input_nor_its_mind(denoise: Denoiser) -> None:
    given = noisy(babble(6, seconds=1.0), snr_db=10.0)
    before = given.copy()
    assert np.array_equal(denoise(given), denoise(given))
    assert np.array_equal(given, before)


def test_frames_add_up_to_the_signal() -> None:
    """Catches a scale of the overlap that belongs to other windows."""
    samples = babble(7, seconds=0.5).astype(np.float64)
    window = np.hanning(513)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(samples, 512)[::128] * window**2 / 1.5
    inner = slice(512, samples.size - 1_024)
    assert _overlap_added(frames, samples.size)[inner] == pytest.approx(samples[inner], abs=1e-9)
