"""Features against librosa, and the laws that make a score depend on its clip alone."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from audio.errors import ModelError
from audio.segments import n_frames
from model.features import (
    FRAME_HOP_SAMPLES,
    FeatureConfig,
    _in_bands,
    log_mel,
    mel_filters,
    mel_power,
    n_feature_frames,
)

CONFIGS = [
    FeatureConfig(),
    FeatureConfig(hop_samples=160),
    FeatureConfig(n_fft=512, n_mels=80, f_min_hz=50.0, f_max_hz=7_600.0),
]


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32)


@pytest.mark.parametrize("config", CONFIGS)
def test_filters_are_librosas(config):
    expected = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.f_min_hz, fmax=config.f_max_hz
    )
    np.testing.assert_allclose(mel_filters(config), expected.T, atol=1e-7)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("n", [1_600, 16_000, 16_123])
def test_power_is_librosas_on_frames_centred_in_their_hop(config, n):
    samples = noise(n)
    # librosa centres frame i on sample i * hop; ours sits half a hop later, in the middle of what it stands for.
    shifted = np.concatenate([samples[config.hop_samples // 2 :], np.zeros(config.n_fft, np.float32)])
    before = np.zeros(config.n_fft // 2, np.float32)
    before[config.n_fft // 2 - config.hop_samples // 2 :] = samples[: config.hop_samples // 2]
    expected = librosa.feature.melspectrogram(
        y=np.concatenate([before, shifted]),
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_samples,
        n_mels=config.n_mels,
        fmin=config.f_min_hz,
        fmax=config.f_max_hz,
        center=False,
    ).T
    power = mel_power(samples, config)
    np.testing.assert_allclose(power, expected[: len(power)], rtol=2e-3, atol=1e-5 * power.max())


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("n", [0, 1, 159, 160, 161, 320, 479, 480, 1_023, 16_001])
def test_every_length_gives_whole_frame_scores(config, n):
    spectrogram = log_mel(noise(n), config)
    assert spectrogram.shape == (n_frames(n, FRAME_HOP_SAMPLES) * config.frames_per_score, config.n_mels)
    assert spectrogram.shape[0] == n_feature_frames(n, config)
    assert spectrogram.dtype == np.float32
    assert np.isfinite(spectrogram).all()


@pytest.mark.parametrize("gain", [1e-4, 0.5, 3.0, 32_768.0, 1e6])
def test_gain_changes_nothing(gain):
    samples = noise(8_000)
    np.testing.assert_allclose(log_mel(samples * np.float32(gain), CONFIGS[0]), log_mel(samples, CONFIGS[0]), atol=2e-3)


def test_silence_is_flat_and_finite():
    assert not log_mel(np.zeros(3_200, np.float32), CONFIGS[0]).any()


def test_a_window_is_standardised_band_by_band():
    spectrogram = log_mel(noise(16_000), CONFIGS[0])
    np.testing.assert_allclose(spectrogram.mean(axis=0), 0.0, atol=1e-4)
    assert float(spectrogram.std()) == pytest.approx(1.0, abs=1e-3)


def test_an_equaliser_changes_next_to_nothing():
    samples = np.convolve(noise(32_000), [1.0, 0.5], mode="same").astype(np.float32)
    brighter = np.convolve(samples, [1.0, -0.6], mode="same").astype(np.float32)
    change = np.abs(log_mel(samples, CONFIGS[0]) - log_mel(brighter, CONFIGS[0]))
    assert float(np.median(change)) < 0.1


def test_an_event_lands_in_its_own_frame():
    config = FeatureConfig(n_fft=256, hop_samples=160)
    for frame in (0, 7, 49):
        samples = np.zeros(8_000, np.float32)
        samples[frame * config.hop_samples + config.hop_samples // 2] = 1.0
        assert int(mel_power(samples, config).sum(axis=1).argmax()) == frame


def test_a_row_does_not_depend_on_rows_far_from_it():
    samples = noise(16_000)
    changed = samples.copy()
    changed[12_000:] = 0.0
    config = CONFIGS[1]
    np.testing.assert_array_equal(mel_power(samples, config)[:60], mel_power(changed, config)[:60])


@pytest.mark.parametrize(
    "wrong",
    [
        *({"n_fft": 0}, {"hop_samples": 100}, {"f_max_hz": 9_000.0}, {"f_min_hz": -1.0}, {"floor_db": 0.0}),
        *({"n_mels": 0}, {"n_fft": 256}, {"second_n_fft": 256}),
    ],
)
def test_impossible_configurations_are_refused(wrong):
    with pytest.raises(ModelError):
        FeatureConfig(**wrong)


def test_json_round_trip_and_unknown_fields():
    config = CONFIGS[2]
    assert FeatureConfig.from_json(config.to_json()) == config
    with pytest.raises(ModelError, match="fields"):
        FeatureConfig.from_json({**config.to_json(), "colour": 1})


def test_two_analysis_windows_stand_behind_one_another():
    config = FeatureConfig(n_mels=40, second_n_fft=512)
    samples = np.random.default_rng(3).standard_normal(9_000)
    both = log_mel(samples, config)
    assert both.shape[1] == config.n_bands == 80
    for part, made in zip(config.parts, (both[:, :40], both[:, 40:]), strict=True):
        np.testing.assert_array_equal(made, log_mel(samples, part))
    assert config.parts[1].n_fft == 512
    assert FeatureConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "config",
    [
        FeatureConfig(),
        FeatureConfig(n_fft=2048, n_mels=192),
        FeatureConfig(n_fft=512, n_mels=80, f_max_hz=4_000.0),
        FeatureConfig(n_fft=320, n_mels=200),  # more bands than bins: some filters are empty
        FeatureConfig(n_mels=1),
    ],
)
@pytest.mark.parametrize("products", [1, 10_000, 1 << 18])
def test_bands_in_groups_are_those_of_one_product(config, products, monkeypatch):
    """Groups and blocks keep OpenBLAS on one core; whatever their size, they are the whole product."""
    monkeypatch.setattr("model.features.BLOCK_PRODUCTS", products)
    power = np.random.default_rng(0).exponential(size=(50, config.n_fft // 2 + 1)).astype(np.float32)
    whole = power.astype(np.float64) @ mel_filters(config)
    np.testing.assert_allclose(_in_bands(power, config), whole, rtol=1e-5, atol=1e-9)
