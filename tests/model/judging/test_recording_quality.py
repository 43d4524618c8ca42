"""Facts about recordings that were made to have them."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import soxr
from talking import talk

from audio.cleaning import speech_frames
from audio.errors import AudioError
from model.judging.quality import BLOCK_SAMPLES, Quality, measure

RATE = 16_000


def measured(samples: np.ndarray) -> Quality:
    samples = samples.astype(np.float32)
    return measure(samples, speech_frames(samples))


def in_16_bits(samples: np.ndarray) -> np.ndarray:
    return (np.rint(samples * 32_768) / 32_768).astype(np.float32)


def low_passed(samples: np.ndarray, edge_hz: float) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(samples.size, 1 / RATE) > edge_hz] = 0.0
    return np.fft.irfft(spectrum, samples.size)


def at_snr(samples: np.ndarray, snr_db: float, *, seed: int = 0) -> np.ndarray:
    """Add white noise so far below the loud half of a recording."""
    power = np.sort(np.square(samples))[samples.size // 2 :].mean()
    return samples + np.sqrt(power / 10 ** (snr_db / 10)) * np.random.default_rng(seed).standard_normal(samples.size)


@pytest.mark.parametrize("edge_hz", [1_500, 2_500, 3_400, 5_800])
@pytest.mark.parametrize("seed", range(2))
def test_bandwidth_of_a_filter(edge_hz, seed):
    """Catches rounding noise of 16 bits above the edge taken for sound."""
    assert measured(in_16_bits(low_passed(talk(4.0, seed=seed), edge_hz))).bandwidth_hz == pytest.approx(
        edge_hz, abs=130
    )


@pytest.mark.parametrize("seed", range(2))
def test_bandwidth_of_a_telephone_and_of_none(seed):
    """Catches a band read from the sample rate, and speech with few hisses that reads narrow."""
    speech = talk(4.0, seed=seed)
    telephone = soxr.resample(soxr.resample(speech, RATE, 8_000), 8_000, RATE)
    assert 3_400 <= measured(in_16_bits(telephone)).bandwidth_hz <= 4_000
    assert measured(in_16_bits(speech)).bandwidth_hz >= 7_500
    assert measured(in_16_bits(0.03 * speech)).bandwidth_hz >= 7_000


def test_bandwidth_below_later_noise():
    """Catches noise of the last recorder taken for speech, and wide speech in loud noise taken for narrow."""
    narrow = low_passed(talk(4.0, seed=0), 3_400)
    assert measured(at_snr(narrow, 40.0)).bandwidth_hz == pytest.approx(3_400, abs=200)
    assert measured(at_snr(narrow, 5.0)).bandwidth_hz >= 7_500
    assert measured(at_snr(talk(4.0, seed=0), 5.0)).bandwidth_hz >= 7_500


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 5.0, 10.0, 20.0])
def test_noise_lowers_the_ratio(snr_db):
    """Catches a ratio that follows the level of the speech, or the share of pauses."""
    speech = talk(6.0, seed=1)
    assert measured(at_snr(speech, snr_db)).snr_db == pytest.approx(snr_db, abs=4)
    assert measured(0.1 * at_snr(speech, snr_db)).snr_db == pytest.approx(snr_db, abs=4)


def test_digital_silence_hides_no_noise():
    """Catches a recording whose pauses were muted, which reads 60 dB however noisy its speech is."""
    noisy = at_snr(talk(6.0, seed=2), 3.0)
    muted = np.concatenate([noisy, np.zeros(2 * RATE)])
    assert measured(muted).snr_db == pytest.approx(measured(noisy).snr_db, abs=0.1)


def test_an_offset_changes_nothing():
    """Catches an offset of the converter that counts as level, noise or flat tops."""
    speech = talk(4.0, seed=3)
    plain, shifted = measured(speech), measured(speech + 0.2)
    for name in ("level_dbfs", "peak_dbfs", "snr_db"):
        # With the offset every frame is loud, so the level is over pauses too.
        assert getattr(shifted, name) == pytest.approx(getattr(plain, name), abs=1.0)
    assert shifted.bandwidth_hz == plain.bandwidth_hz
    assert shifted.clipped_share == pytest.approx(plain.clipped_share, abs=1e-3)


def test_clipping_is_counted_in_speech():
    """Catches a share of all samples: silence beside it does not mend an overloaded recording."""
    speech = talk(4.0, seed=4)
    ceiling = 0.2 * np.abs(speech).max()
    clipped = np.clip(speech, -ceiling, ceiling)
    share = measured(clipped).clipped_share
    assert share > 0.03
    assert measured(speech).clipped_share < 0.002
    assert measured(np.concatenate([clipped, np.zeros(8 * RATE)])).clipped_share == pytest.approx(share, rel=0.1)


def test_levels_and_lengths():
    """Catches amplitudes taken for powers, and pauses that lower the level."""
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(2 * RATE) / RATE)
    found = measured(np.concatenate([tone, np.zeros(2 * RATE)]))
    assert found.level_dbfs == pytest.approx(-9.03, abs=0.3)
    assert found.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert (found.duration_s, found.speech_s, found.speech_share) == (4.0, 2.1, 0.525)


@pytest.mark.parametrize(
    "n", [0, 1, 159, 160, 320, 1_023, 1_024, 6_400, 16_000, 47_999, 48_000, BLOCK_SAMPLES, BLOCK_SAMPLES + 1]
)
@pytest.mark.parametrize("kind", ["silence", "constant", "noise", "speech", "click"])
def test_every_length_and_kind(n, kind):
    """Catches means of nothing, logarithms of nothing and facts that JSON cannot hold."""
    whole = {
        "silence": np.zeros(40_000),
        "constant": np.full(40_000, 0.5),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(50_000),
        "speech": talk(3.1, seed=0),
        "click": np.eye(1, 50_000, 100)[0],
    }
    found = measured(np.resize(whole[kind], n))
    json.dumps(found.to_json(), allow_nan=False)
    assert found.n_samples == n
    assert 0.0 <= found.clipped_share <= 1.0
    assert 0.0 <= found.music_share <= 1.0
    assert 0.0 <= found.speech_share <= 1.0
    assert found.bandwidth_hz is None or 0 < found.bandwidth_hz <= 8_000


def test_silence_shows_nothing():
    found = measured(np.zeros(RATE))
    assert (found.level_dbfs, found.peak_dbfs, found.snr_db, found.bandwidth_hz) == (None, None, None, None)


def test_another_mask_is_refused():
    with pytest.raises(AudioError, match=r"expected 50 frames for 16000 samples, received \(49,\)"):
        measure(np.zeros(RATE), np.zeros(49, dtype=bool))


def test_the_input_stays_as_it_is():
    """Catches a mean taken off in place."""
    samples = talk(3.0, seed=5) + np.float32(0.1)
    before = samples.copy()
    measured(samples)
    assert np.array_equal(samples, before)


def test_memory_does_not_grow_with_the_recording():
    """Catches spectra of a whole recording at once: those of four minutes would take 25 MB."""
    samples = np.tile(talk(4.0, seed=6), 60)
    speech = speech_frames(samples)
    tracemalloc.start()
    measure(samples, speech)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
