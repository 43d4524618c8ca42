"""Hand-made features: beside librosa where it has them, on sounds whose answer is known where it has not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from audio.segments import n_frames
from model.classical import handmade
from model.classical.handmade import GROUPS, NAMES, REACH, VOICE_GROUPS, VOICED_GROUPS, describe

RATE, HOP, N_FFT = 16_000, 320, handmade.N_FFT
GROUP_NAMES = [group.name for group in (*GROUPS, *VOICED_GROUPS, *VOICE_GROUPS)]


def vowel(pitch_hz: float, formants_hz: tuple[float, ...], *, seconds: float = 1.0) -> np.ndarray:
    """Pulses through resonances 80 Hz wide."""
    n, at = round(seconds * RATE), 0.0
    pulses = np.zeros(n)
    while at < n - 2:
        left = int(at)
        pulses[left : left + 2] += (left + 1 - at, at - left)  # between two samples
        at += RATE / pitch_hz
    voice = lfilter([1.0], [1.0, -0.95], pulses)
    for hz in formants_hz:
        radius = np.exp(-np.pi * 80 / RATE)
        voice = lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * hz / RATE), radius**2], voice)
    return (voice / np.abs(voice).max()).astype(np.float32)


def sound(seed: int = 0, seconds: float = 1.3) -> np.ndarray:
    """A vowel, a noise and a pause, with a peak of 1 somewhere."""
    rng = np.random.default_rng(seed)
    noise = lfilter([1.0], [1.0, 0.6], rng.standard_normal(round(seconds * RATE)))
    samples = vowel(130, (500, 1_500, 2_500), seconds=seconds) * 0.8 + 0.05 * noise
    samples[8_000:10_000] = 0.0
    return samples / np.abs(samples).max()


@pytest.fixture(scope="module")
def heard():
    """A sound, its frames, its power spectra, and the padded samples that librosa cuts the same frames from."""
    samples = sound()
    frames = handmade.framed(samples)
    padded = np.concatenate([np.zeros((N_FFT - HOP) // 2), samples, np.zeros(N_FFT)])[: (len(frames) - 1) * HOP + N_FFT]
    power = np.abs(np.fft.rfft(frames * np.hanning(N_FFT + 1)[:-1], axis=1)) ** 2
    return samples, frames, power, padded


def by_name(row: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, row.tolist(), strict=True))


@pytest.mark.parametrize("name", ["mfcc", "slopes", "chroma", "zero_crossings", "contrast"])
def test_librosa_says_the_same(heard, name):
    """Catches a wrong filter, norm, floor or band edge."""
    from librosa import feature

    samples, frames, power, padded = heard
    given = {"y": padded, "frame_length": N_FFT, "hop_length": HOP, "center": False}
    mel = feature.melspectrogram(S=power.T, sr=RATE, n_mels=handmade.N_MELS)
    mfcc = 10 * np.log10(np.maximum(mel, 1e-10))
    mfcc = feature.mfcc(S=np.maximum(mfcc, mfcc.max() - 80), n_mfcc=handmade.N_MFCC)
    if name == "mfcc":
        ours, theirs = handmade.cepstrum(samples), mfcc
    elif name == "slopes":
        ours = np.concatenate(handmade.slopes(mfcc.T), axis=1)
        theirs = np.concatenate([feature.delta(mfcc, order=order, mode="nearest") for order in (1, 2)])
    elif name == "chroma":
        ours, theirs = handmade.chroma(power), feature.chroma_stft(S=power.T, sr=RATE, tuning=0.0)
    elif name == "zero_crossings":
        ours, theirs = handmade.zero_crossings(frames), feature.zero_crossing_rate(**given, threshold=1e-10)
    else:
        ours, theirs = handmade.contrast(power), feature.spectral_contrast(S=np.sqrt(power.T), sr=RATE, n_bands=5)
    loud = power.sum(axis=1) > 1e-6
    np.testing.assert_allclose(ours[loud], theirs.T[loud], atol=2e-3)


def test_librosa_says_the_same_of_the_spectrum_s_shape(heard):
    from librosa import feature

    samples, _, power, padded = heard
    ours = handmade.spectral_shape(power)
    magnitude = {"S": np.sqrt(power.T), "sr": RATE}
    theirs = [feature.spectral_centroid(**magnitude), feature.spectral_bandwidth(**magnitude),
              feature.spectral_rolloff(**magnitude), feature.spectral_flatness(S=np.sqrt(power.T))]  # fmt: skip
    loud = power.sum(axis=1) > 1e-6
    np.testing.assert_allclose(ours[loud, :4], np.concatenate(theirs).T[loud], rtol=1e-5, atol=1e-7)
    rms = feature.rms(y=padded, frame_length=N_FFT, hop_length=HOP, center=False)
    assert by_name(describe(samples).clip)["rms_mean"] == pytest.approx(rms.mean(), rel=1e-5)
    share = np.sqrt(power) / np.sqrt(power).sum(axis=1, keepdims=True).clip(1e-10)
    gained = [sum(max(0.0, b - a) for a, b in zip(share[i - 1], share[i], strict=True)) for i in range(1, 30)]
    np.testing.assert_allclose(ours[1:30, 4], gained, atol=1e-9)


@pytest.mark.parametrize("pitch_hz", [70.0, 123.4, 220.0, 390.0])
def test_pitch_is_the_one_that_was_made_and_librosa_agrees(pitch_hz):
    """Catches octave errors at both ends of the range."""
    from librosa import yin

    samples = vowel(pitch_hz, (600, 1_400, 2_600))
    found = by_name(describe(samples).clip)
    assert found["pitch_mean"] == pytest.approx(pitch_hz, rel=0.01)
    assert found["voiced_share"] > 0.95
    assert found["pitch_mean"] == pytest.approx(np.median(yin(samples, fmin=60, fmax=420, sr=RATE)), rel=0.02)


def test_noise_has_no_pitch_and_silence_no_features():
    noise = by_name(describe(np.random.default_rng(1).standard_normal(RATE)).clip)
    assert noise["voiced_share"] < 0.05
    silence = describe(np.zeros(RATE, dtype=np.float32))
    assert np.isfinite(silence.frames).all()
    assert by_name(silence.clip)["pitch_mean"] == by_name(silence.clip)["formant_1_mean"] == 0.0


@pytest.mark.parametrize("formants_hz", [(300, 2_300, 3_000), (500, 1_500, 2_500), (750, 1_200, 2_450)])
def test_formants_are_where_the_resonances_are(formants_hz):
    """Catches poles read at the wrong rate, and pre-emphasis that moves them."""
    found = by_name(describe(vowel(100, formants_hz)).clip)
    for i, hz in enumerate(formants_hz, start=1):
        assert found[f"formant_{i}_mean"] == pytest.approx(hz, abs=60)
        assert 20 < found[f"formant_bandwidth_{i}_mean"] < 300


def test_an_unsteady_voice_has_more_jitter_and_shimmer():
    steady = vowel(120, (500, 1_500), seconds=2)
    gliding = np.concatenate([vowel(120 + 8 * (-1) ** i, (500, 1_500), seconds=0.1) for i in range(20)])
    swelling = steady * np.repeat(np.where(np.arange(20) % 2, 1.0, 0.6), 1_600)
    found = [by_name(describe(each).clip) for each in (steady, gliding, swelling)]
    assert found[0]["jitter"] < 0.002 < 0.01 < found[1]["jitter"]
    assert found[2]["shimmer"] > 2 * found[0]["shimmer"]


def test_statistics_are_those_of_the_frames_around():
    """The running sums beside the definition, at the edges too."""
    samples = sound(seconds=0.6)
    steady, voiced, periods, _ = handmade._contours(samples)
    found = describe(samples).frames
    n_steady, n_contours = steady.shape[1], steady.shape[1] + voiced.shape[1]
    for i in (0, 3, 15, len(steady) - 1):
        around = slice(max(0, i - REACH), i + REACH + 1)
        np.testing.assert_allclose(found[i, :n_steady], steady[around].mean(axis=0), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[i, n_contours:][:n_steady], steady[around].std(axis=0), rtol=1e-3, atol=1e-3)
        heard = [c[~np.isnan(c)] for c in voiced[around].T]
        expected = [c.mean() if c.size else 0.0 for c in heard]
        np.testing.assert_allclose(found[i, n_steady:n_contours], expected, rtol=1e-5, atol=1e-4)
        assert found[i, -3] == pytest.approx(np.mean(~np.isnan(periods[around])))


def test_level_says_nothing():
    samples = sound()
    for loud, soft in zip(describe(samples), describe(samples * 1e-3), strict=True):
        np.testing.assert_allclose(loud, soft, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("n_samples", [0, 1, 159, 160, 319, 320, 321, 1_024, 5_000])
def test_every_length_works(n_samples):
    found = describe(sound()[:n_samples])
    assert found.frames.shape == (n_frames(n_samples, HOP), len(NAMES))
    assert found.clip.shape == (len(NAMES),)
    assert all(np.isfinite(each).all() and each.dtype == np.float32 for each in found)


def test_there_are_thirty_and_the_document_tells_of_each():
    """Catches a feature that was added, dropped or given another unit without a word."""
    document = (Path(__file__).parents[3] / "docs" / "classical.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", document, re.MULTILINE)
    groups = (*GROUPS, *VOICED_GROUPS, *VOICE_GROUPS)
    assert [(name, int(size), *rest) for name, size, *rest in rows] == [tuple(group) for group in groups]
    assert len(set(NAMES)) == len(NAMES) > 30
    assert all(any(name.startswith(group) for group in GROUP_NAMES) for name in NAMES)
