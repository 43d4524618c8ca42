"""FARGAN's two engines, with a stand-in for the program that nobody packages: it frames and delays as that does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from babbling import babble, envelope, lag_samples

from audio.errors import EngineError
from synth.engines import engine, fargan
from synth.engines.fargan_coded import CODED, N_CEPSTRA, PITCH, coarse
from synth.pcm import Samples

STAND_IN = f"""#!{sys.executable}
import sys
import numpy as np
mode, given, made = sys.argv[1:]
if mode == "-features":  # how loud each frame is, 36 times
    frames = np.fromfile(given, "<i2").reshape(-1, 160).astype("<f4") / 32_768
    np.repeat(np.log2(np.sqrt(np.mean(frames**2, axis=1)) + 1e-9), 36).astype("<f4").tofile(made)
else:  # as loud as the frames were, 240 samples late, and nothing for the first five
    loudness = 2.0 ** np.fromfile(given, "<f4").reshape(-1, 36)[:, 0]
    noise = np.random.default_rng(1).standard_normal(160 * loudness.size)
    late = np.concatenate([np.zeros(240), noise * np.repeat(loudness, 160)])[: noise.size]
    (np.clip(late[800:], -1, 1) * 32_767).astype("<i2").tofile(made)
"""
NAMES = ("fargan", "fargan-coded")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put a program of that name first on PATH."""
    path = folder / "fargan_demo"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def render(name: str, samples: Samples | None, *, seed: int = 1) -> Samples:
    return engine(name).render(samples, text="", language="", rng=np.random.default_rng(seed))


@pytest.mark.parametrize("name", NAMES)
def test_twins_lie_on_their_source(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a warm-up or a delay that is not cut away, a frame too few at the end, and unseeded draws."""
    install(tmp_path, monkeypatch, STAND_IN)
    speech = babble(3, seconds=2.01)
    twin = render(name, speech)
    assert twin.shape == speech.shape
    assert twin.dtype == np.float32
    assert abs(lag_samples(envelope(speech), envelope(twin))) < 80  # the stand-in knows frames only
    assert np.corrcoef(envelope(speech), envelope(twin))[0, 1] > 0.9
    assert np.array_equal(render(name, speech), twin)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_samples", [0, 1, 159, 161])
def test_short_and_silent_sources(name: str, n_samples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches sources of less than a frame, and the network's hum where there was silence."""
    install(tmp_path, monkeypatch, STAND_IN)
    assert render(name, babble(1, seconds=0.1)[:n_samples]).shape == (n_samples,)
    assert not render(name, np.zeros(n_samples, dtype=np.float32)).any()


def test_only_the_coarse_engine_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches two names for one engine."""
    install(tmp_path, monkeypatch, STAND_IN)
    speech = babble(3, seconds=1.0)
    assert np.array_equal(render("fargan", speech, seed=1), render("fargan", speech, seed=2))
    assert not np.array_equal(render("fargan-coded", speech, seed=1), render("fargan-coded", speech, seed=2))


def test_what_coarse_features_keep() -> None:
    """Catches interpolation that moves frames, a pitch that is rounded, and predictor coefficients that are touched."""
    rng = np.random.default_rng(5)
    features = rng.standard_normal((41, 36)).astype(np.float32)
    found = coarse(features, hold=4, step=0.25, shift=0.1)
    assert np.allclose(found[::4, :N_CEPSTRA] % 0.25, 0.0)
    assert np.abs(found[::4, :N_CEPSTRA] - features[::4, :N_CEPSTRA]).max() <= 0.125 + 1e-6
    assert np.allclose(found[::4, PITCH], features[::4, PITCH] + 0.1)
    assert np.allclose(found[2:40:4, :CODED], (found[0:37:4, :CODED] + found[4:41:4, :CODED]) / 2, atol=1e-6)
    assert np.array_equal(found[:, CODED:], features[:, CODED:])
    assert found.dtype == np.float32


def test_versions_know_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches twins in the cache that outlive the program that made them."""
    install(tmp_path, monkeypatch, STAND_IN)
    before = [engine(name).version() for name in NAMES]
    install(tmp_path, monkeypatch, STAND_IN + "# newer\n")
    after = [engine(name).version() for name in NAMES]
    assert len({*before, *after}) == 4


def test_one_line_when_it_is_missing_or_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a missing program without its recipe, and half a file taken for a recording."""
    speech = babble(3, seconds=0.5)
    with pytest.raises(EngineError, match="fargan: expected samples to copy"):
        render("fargan", None)
    install(tmp_path, monkeypatch, f"#!{sys.executable}\nimport sys\nopen(sys.argv[3], 'wb').write(bytes(8))\n")
    with pytest.raises(EngineError, match=r"fargan-coded: expected \d+ numbers from fargan_demo, received 2"):
        render("fargan-coded", speech)
    install(tmp_path, monkeypatch, f"#!{sys.executable}\n")
    with pytest.raises(EngineError, match="received 0"):
        render("fargan", speech)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(EngineError, match=r"fargan: the program fargan_demo was not found: build it from the source"):
        render("fargan", speech)
    assert "make fargan_demo" in fargan.INSTALL
