"""Engines that copy, and what all engines share; speakers and commands have files of their own."""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pytest
from babbling import babble, envelope, lag_samples

from audio.errors import EngineError
from synth.cli import engines
from synth.engines import (
    ENGINES,
    cepstral,
    channel_vocoder,
    engine,
    excitation,
    griffin_lim,
    harmonic_noise,
    lpc,
    survey,
    world,
    world_coded,
    world_voice,
)
from synth.pcm import Samples, rms_dbfs
from synth.texts import SENTENCES, language_to_speak, sentences

COPIERS = tuple(name for name in ENGINES if engine(name).makes_twins and not name.startswith("fargan"))
"""Those that need no program; FARGAN's have a file of their own."""


def render(name: str, samples: Samples, *, seed: int = 1) -> Samples:
    return engine(name).render(samples, text="", language="", rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def speech() -> Samples:
    """Three seconds with a pitch of 150 Hz and a silent end, which must stay where it is."""
    return babble(3, seconds=3.0, pitch_hz=150.0)


@pytest.fixture(scope="module")
def twins(speech: Samples) -> dict[str, Samples]:
    return {name: render(name, speech) for name in COPIERS}


@pytest.mark.parametrize("name", COPIERS)
def test_twins_lie_on_their_source(name: str, speech: Samples, twins: dict[str, Samples]) -> None:
    """Catches a vocoder's delay or drift, which would move every boundary, and a copy that copies nothing."""
    twin = twins[name]
    assert twin.shape == speech.shape
    assert twin.dtype == np.float32
    assert abs(lag_samples(envelope(speech), envelope(twin))) < 16
    assert np.corrcoef(envelope(speech), envelope(twin))[0, 1] > 0.75
    assert abs(rms_dbfs(twin) - rms_dbfs(speech)) < 6
    assert np.corrcoef(speech, twin)[0, 1] < 0.99


def test_engines_are_different_from_each_other(twins: dict[str, Samples]) -> None:
    """Catches two names for one engine, whose clips would be in training and held out at once."""
    for i, name in enumerate(COPIERS):
        # world-coded shares WORLD's pulses, and babble is smooth already: 0.986.
        assert all(np.corrcoef(twins[name], twins[other])[0, 1] < 0.995 for other in COPIERS[:i])


@pytest.mark.parametrize("name", COPIERS)
@pytest.mark.parametrize("n_samples", [0, 1, 257, 1_024])
def test_short_and_silent_sources(name: str, n_samples: int) -> None:
    """Catches analyses that need a frame, logarithms of nothing, and divisions by silence."""
    for source in (babble(1, seconds=0.1)[:n_samples], np.zeros(n_samples, dtype=np.float32)):
        twin = render(name, source)
        assert twin.shape == (n_samples,)
        assert twin.dtype == np.float32
        assert np.isfinite(twin).all()
        assert source.any() or np.abs(twin).max(initial=0.0) < 1e-3


@pytest.mark.parametrize("name", COPIERS)
def test_randomness_is_an_argument(name: str) -> None:
    """Catches global random state: the same generator must give the same waveform, anywhere."""
    speech = babble(4, seconds=0.6)
    np.random.seed(1)  # noqa: NPY002 - disturbs whoever listens to it
    first = render(name, speech)
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(render(name, speech), first)


def test_engines_know_their_names_and_settings() -> None:
    """Catches a module registered under another engine's name, and versions that leave out what changes samples."""
    assert [engine(name).name for name in ENGINES] == list(ENGINES)
    assert len({engine(name).version() for name in COPIERS}) == len(COPIERS)
    assert "16 rounds" in engine("griffin-lim").version()
    assert "pitch 0.75 to 1.35" in engine("world-voice").version()


def test_unknown_engine() -> None:
    with pytest.raises(EngineError, match=r"expected one of world, world-voice, .*, festival, received 'hifigan'"):
        engine("hifigan")


@pytest.mark.parametrize("name", COPIERS)
def test_a_copier_needs_samples(name: str) -> None:
    with pytest.raises(EngineError, match=f"{name}: expected samples"):
        engine(name).render(None, text="", language="", rng=np.random.default_rng(0))


def test_survey_names_the_install_command_of_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a list that ends at the first engine that is not there."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("synth.engines.espeak._version", _refuse)
    missing = {facts.name: facts.missing for facts in survey() if facts.missing}
    assert missing.keys() == {"espeak", "espeak-klatt", "fargan", "fargan-coded", "flite", "festival"}
    assert "apt-get install flite" in missing["flite"]


def test_the_list_has_a_line_for_each_engine(capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a list that a spreadsheet cannot read: four columns, whatever is installed."""
    assert engines.run(argparse.Namespace()) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["engine", *ENGINES]
    assert {len(row) for row in rows} == {4}
    assert rows[1][1:3] == ["copies", "any"]


def _refuse(name: str) -> str:
    raise EngineError(f"{name}: not there")


def test_world_loads_without_pkg_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches the import that new environments fail at, and a stand-in left behind."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("pyworld", "pkg_resources")]:
        monkeypatch.delitem(sys.modules, name)
    assert world.load_pyworld().__version__
    assert "pkg_resources" not in sys.modules


def median_pitch_hz(samples: Samples) -> float:
    pitch_hz = world.analysed(samples).pitch_hz
    return float(np.median(pitch_hz[pitch_hz > 0]))


def test_another_voice_has_another_pitch(speech: Samples) -> None:
    """Catches ratios that are drawn, written down and not used."""
    for seed in (1, 5):
        ratio = world_voice.draw_voice(np.random.default_rng(seed)).pitch_ratio
        assert median_pitch_hz(render("world-voice", speech, seed=seed)) == pytest.approx(150 * ratio, rel=0.06)


def test_voices_are_never_the_same_voice() -> None:
    """Catches a twin in its own speaker's voice, and ratios beyond the bounds that the version names."""
    rng = np.random.default_rng(0)
    voices = [world_voice.draw_voice(rng) for _ in range(400)]
    assert all(voice.is_another for voice in voices)
    assert not world_voice.Voice(1.09, 0.96).is_another
    pitches, formants = ([getattr(voice, name) for voice in voices] for name in ("pitch_ratio", "formant_ratio"))
    assert 0.75 <= min(pitches) < 0.8 < 1.3 < max(pitches) <= 1.35
    assert 0.85 <= min(formants) < 0.87 < 1.17 < max(formants) <= 1.2


@pytest.mark.parametrize("ratio", [0.85, 1.0, 1.2])
def test_formants_move_by_their_ratio(ratio: float) -> None:
    """Catches stretching by the inverse: a peak in bin 200 must come to 200 times the ratio."""
    bins = np.arange(513)
    moved = world_voice.stretched(1e-6 + np.exp(-((bins - 200.0) ** 2) / 50.0)[None, :], ratio)
    assert np.argmax(moved[0]) == pytest.approx(200 * ratio, abs=1)
    assert moved.max() == pytest.approx(1.0, rel=0.02)


def test_codes_are_smoothed_in_place() -> None:
    """Catches weights that do not add up to 1, and a filter that looks one way only."""
    ramp = np.arange(12.0)[:, None]
    assert world_coded.smoothed(ramp)[2:-2] == pytest.approx(ramp[2:-2])
    assert world_coded.smoothed(ramp[:1]) == pytest.approx(ramp[:1])


def test_harmonics_have_the_power_of_the_envelope() -> None:
    """Catches a wrong constant: white speech of unit density must come out with unit power, voiced or not."""
    n_frames, rng = 200, np.random.default_rng(0)
    flat = np.ones((n_frames, 513))
    speech = world.Speech(np.full(n_frames, 125.0), flat, np.zeros_like(flat))
    voiced = harmonic_noise._harmonics(speech, flat)
    assert np.mean(np.square(voiced)) == pytest.approx(1.0, rel=0.05)
    spectrum = np.abs(np.fft.rfft(voiced))
    assert set(np.argsort(spectrum)[-20:] % 125) == {0}  # one second: a bin is one hertz
    assert np.mean(np.square(harmonic_noise._noise(flat, rng))) == pytest.approx(1.0, rel=0.1)


def test_harmonic_noise_places_noise_where_it_is_loud() -> None:
    """Catches a noise that lies half a response beside its frame."""
    power = np.full((100, 513), 1e-12)
    power[50] = 1.0
    noise = harmonic_noise._noise(power, np.random.default_rng(0))
    centre = np.sum(np.arange(noise.size) * np.square(noise)) / np.sum(np.square(noise))
    assert centre == pytest.approx(50 * harmonic_noise.HOP_SAMPLES, abs=40)


def test_mels_keep_the_shape_of_a_spectrum() -> None:
    magnitude = np.abs(np.random.default_rng(0).standard_normal((513, 4))).astype(np.float32)
    restored = griffin_lim.through_mels(magnitude)
    assert restored.shape == magnitude.shape
    assert restored.min() >= 0
    again = griffin_lim.through_mels(restored)
    assert np.abs(again - restored).mean() < 0.2 * restored.mean()


def test_bands_of_the_channel_vocoder_add_up() -> None:
    """Catches gaps between bands, in which nothing would be heard."""
    bands = channel_vocoder._bands()
    assert bands.sum(axis=0) == pytest.approx(np.ones(bands.shape[1]))
    assert (bands.sum(axis=1) > 1).all()
    flat = np.full((3, bands.shape[1]), 4.0)
    assert channel_vocoder._band_gains(flat) == pytest.approx(np.full(flat.shape, 2.0))


def test_cepstra_give_back_a_smooth_spectrum() -> None:
    """Catches a folding that squares or halves the spectrum: a short filter is its own smooth spectrum."""
    pulse = np.zeros((1, excitation.FRAME_SAMPLES))
    pulse[0, :3] = (1.0, 0.5, 0.2)  # minimum phase
    response = np.exp(np.fft.rfft(cepstral._causal_cepstra(pulse), excitation.RESPONSE_SAMPLES))
    assert np.fft.irfft(response)[0, :3] == pytest.approx(pulse[0, :3], abs=1e-3)


def test_lpc_predicts_what_it_was_made_from() -> None:
    """Catches a wrong sign or order of the coefficients: a two-pole resonance must come back."""
    rng = np.random.default_rng(5)
    made = rng.standard_normal(4_000)
    for n in range(2, made.size):
        made[n] += 1.6 * made[n - 1] - 0.8 * made[n - 2]
    predictor, _ = lpc.predictors(excitation.autocorrelation(excitation.framed(made)[8:20]))
    undamped = predictor / lpc.DAMPING ** np.arange(1, lpc.ORDER + 1)
    assert undamped[:, :2].mean(axis=0) == pytest.approx([1.6, -0.8], abs=0.12)


def test_pitch_periods_are_found() -> None:
    """Catches octave errors, and pulses that are not as far apart as the period says."""
    pulses = np.zeros(4_000)
    pulses[::100] = 1.0
    lags = excitation.autocorrelation(excitation.framed(np.convolve(pulses, np.hanning(9))[:4_000])[8:20])
    periods = excitation.pitch_periods(lags)
    assert periods == pytest.approx(np.full(12, 100.0), abs=1.0)
    made = excitation.excitation(np.full(40, 100.0), np.random.default_rng(0))
    assert np.diff(np.flatnonzero(made > 5.0)) == pytest.approx(100, abs=1)
    assert np.mean(np.square(made[1_000:])) == pytest.approx(1.0, rel=0.1)


def test_every_language_has_sentences() -> None:
    """Catches a language with too few sentences for a clip, a sentence twice, and figures that voices read freely."""
    assert len(SENTENCES["en"]) >= 12
    assert all(len(set(texts)) == len(texts) >= 6 for texts in SENTENCES.values())
    assert not any(char.isdigit() for texts in SENTENCES.values() for text in texts for char in text)
    assert sentences("fi") == SENTENCES["en"]


def test_an_engine_speaks_what_it_can() -> None:
    """Catches Finnish voices that read English, and English voices asked for Russian."""
    assert language_to_speak("ru") == "ru"
    assert language_to_speak("fi") == language_to_speak("") == "en"
    assert language_to_speak("ru", spoken=("en",)) == "en"
