from __future__ import annotations

import sys

import numpy as np
import pytest
from babbling import babble, envelope, lag_samples

from audio.errors import EngineError
from synth.engines import ENGINES, engine, espeak, griffin_lim, lpc, world
from synth.pcm import Samples, rms_dbfs

COPIERS = ("world", "griffin-lim", "lpc")


def render(name: str, samples: Samples, *, seed: int = 1) -> Samples:
    return engine(name).render(samples, text="", language="", rng=np.random.default_rng(seed))


@pytest.mark.parametrize("name", COPIERS)
def test_twins_lie_on_their_source(name: str) -> None:
    """Catches a vocoder's delay or drift, which would move every boundary, and a copy that copies nothing."""
    speech = babble(3, seconds=2.0)
    twin = render(name, speech)
    assert twin.shape == speech.shape
    assert twin.dtype == np.float32
    assert abs(lag_samples(envelope(speech), envelope(twin))) < 16
    assert np.corrcoef(envelope(speech), envelope(twin))[0, 1] > 0.75
    assert abs(rms_dbfs(twin) - rms_dbfs(speech)) < 6
    assert np.corrcoef(speech, twin)[0, 1] < 0.99


@pytest.mark.parametrize("name", COPIERS)
@pytest.mark.parametrize("n_samples", [0, 1, 257, 1_024])
def test_short_and_silent_sources(name: str, n_samples: int) -> None:
    for source in (babble(1, seconds=0.1)[:n_samples], np.zeros(n_samples, dtype=np.float32)):
        twin = render(name, source)
        assert twin.shape == (n_samples,)
        assert np.isfinite(twin).all()


@pytest.mark.parametrize("name", COPIERS)
def test_randomness_is_an_argument(name: str) -> None:
    """Catches global random state: the same generator must give the same waveform, anywhere."""
    speech = babble(4, seconds=0.6)
    np.random.seed(1)  # noqa: NPY002 - disturbs whoever listens to it
    first = render(name, speech)
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(render(name, speech), first)


def test_engines_know_their_names_and_settings() -> None:
    assert [engine(name).name for name in ENGINES] == list(ENGINES)
    assert [engine(name).makes_twins for name in ENGINES] == [True, True, True, False]
    assert "16 rounds" in engine("griffin-lim").version()


def test_unknown_engine() -> None:
    with pytest.raises(EngineError, match="expected one of world, griffin-lim, lpc, espeak, received 'hifigan'"):
        engine("hifigan")


def test_a_copier_needs_samples() -> None:
    with pytest.raises(EngineError, match="lpc: expected samples"):
        lpc.ENGINE.render(None, rng=np.random.default_rng(0))


def test_world_loads_without_pkg_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches the import that new environments fail at, and a stand-in left behind."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("pyworld", "pkg_resources")]:
        monkeypatch.delitem(sys.modules, name)
    assert world.load_pyworld().__version__
    assert "pkg_resources" not in sys.modules


def test_mels_keep_the_shape_of_a_spectrum() -> None:
    magnitude = np.abs(np.random.default_rng(0).standard_normal((513, 4))).astype(np.float32)
    restored = griffin_lim.through_mels(magnitude)
    assert restored.shape == magnitude.shape
    assert restored.min() >= 0
    again = griffin_lim.through_mels(restored)
    assert np.abs(again - restored).mean() < 0.2 * restored.mean()


def test_lpc_predicts_what_it_was_made_from() -> None:
    """Catches a wrong sign or order of the coefficients: a two-pole resonance must come back."""
    rng = np.random.default_rng(5)
    driven = rng.standard_normal(4_000)
    for n in range(2, driven.size):
        driven[n] += 1.6 * driven[n - 1] - 0.8 * driven[n - 2]
    frames = lpc._framed(driven)[8:20] * lpc._window()
    predictor, _ = lpc._predictors(lpc._autocorrelation(frames))
    undamped = predictor / lpc.DAMPING ** np.arange(1, lpc.ORDER + 1)
    assert undamped[:, :2].mean(axis=0) == pytest.approx([1.6, -0.8], abs=0.12)


def test_lpc_finds_the_period() -> None:
    pulses = np.zeros(4_000)
    pulses[::100] = 1.0
    frames = lpc._framed(np.convolve(pulses, np.hanning(9))[:4_000])[8:20] * lpc._window()
    assert lpc._pitch_periods(lpc._autocorrelation(frames)) == pytest.approx(np.full(12, 100.0), abs=1.0)


def test_espeak_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(EngineError, match="espeak-ng was not found: sudo apt-get install espeak-ng"):
        espeak.ENGINE.render(text="hello", language="en", rng=np.random.default_rng(0))


def test_espeak_speaks() -> None:
    try:
        espeak.ENGINE.version()
    except EngineError:
        pytest.skip("espeak-ng is not installed: sudo apt-get install espeak-ng")
    spoken = [
        espeak.ENGINE.render(text=text, language=language, rng=np.random.default_rng(0))
        for language in ("en", "ru")
        for text in espeak.sentences(language)[:1]
    ]
    assert all(16_000 < samples.size < 160_000 and rms_dbfs(samples) > -40 for samples in spoken)


def test_every_language_has_sentences() -> None:
    assert all(len(set(texts)) == len(texts) >= 3 for texts in espeak.SENTENCES.values())
    assert espeak.sentences("fi") == espeak.SENTENCES["en"]
