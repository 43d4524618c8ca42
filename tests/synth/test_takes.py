from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from babbling import babble

from audio.errors import AudioError
from audio.reading import write_wav
from synth.cache import Cache
from synth.codecs import fixed_coding, pass_codecs
from synth.pcm import rms_dbfs, to_float, to_pcm
from synth.takes import GENUINE, RECORDED, TWIN, Library, Take


@pytest.fixture
def library(tmp_path: Path) -> Library:
    write_wav(tmp_path / "real" / "ada" / "a.wav", babble(1, seconds=2.0))
    write_wav(tmp_path / "fake" / "hifi" / "a.wav", babble(1, seconds=1.9))
    return Library(tmp_path / "real", tmp_path / "fake", Cache(tmp_path / "cache"))


def test_genuine_excerpt(library: Library) -> None:
    take = Take(GENUINE, "ada/a.wav", 1_000, 9_000)
    assert np.array_equal(library.load([take])[take], to_pcm(babble(1, seconds=2.0))[1_000:9_000])


def test_twin_is_as_long_and_as_loud_and_kept(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a cache that changes what is heard: made now or found there must be the same samples."""
    take = Take(TWIN, "ada/a.wav", 1_000, 25_000, "lpc", codec="g722")
    first = library.load([take])[take]
    source = babble(1, seconds=2.0)[1_000:25_000]
    assert first.size == take.n_samples
    assert rms_dbfs(to_float(first)) == pytest.approx(rms_dbfs(source), abs=1.0)
    monkeypatch.setattr("synth.takes.engine", _only_versions)
    assert np.array_equal(library.load([take])[take], first)


class _only_versions:
    def __init__(self, name: str) -> None:
        self.name = name

    def version(self) -> str:
        from synth.engines import engine

        return engine(self.name).version()


def test_codec_past_is_passed_on(library: Library) -> None:
    """Catches fakes without the codec that all genuine voices have in their past: a shortcut."""
    plain = Take(TWIN, "ada/a.wav", 0, 16_000, "lpc")
    with_past = Take(TWIN, "ada/a.wav", 0, 16_000, "lpc", codec="pcm_mulaw")
    heard = library.load([plain, with_past])
    levels = {take: np.unique(pcm).size for take, pcm in heard.items()}
    assert levels[with_past] <= 256 < levels[plain]


def test_batch_mates_do_not_matter(library: Library, tmp_path: Path) -> None:
    takes = [Take(TWIN, "ada/a.wav", a, a + 8_000, "lpc", codec="g722") for a in (0, 4_000, 9_000)]
    together = library.load(takes)
    alone = Library(library.real, library.fake, Cache(tmp_path / "other")).load(takes[1:2])
    assert np.array_equal(together[takes[1]], alone[takes[1]])


def test_recorded_twin_a_little_too_short_ends_in_silence(library: Library) -> None:
    take = Take(RECORDED, "hifi/a.wav", 16_000, 32_000, "hifi")
    pcm = library.load([take])[take]
    assert pcm.size == 16_000
    assert not pcm[14_400:].any()


def test_recorded_fake_passes_the_codec_once(library: Library) -> None:
    take = Take(RECORDED, "hifi/a.wav", 0, 16_000, "hifi", codec="g722")
    given = to_float(to_pcm(babble(1, seconds=1.9)[:16_000]))
    assert np.array_equal(library.load([take])[take], to_pcm(pass_codecs([given], [fixed_coding("g722")])[0]))


def test_describe_names_the_file_by_content(library: Library) -> None:
    facts = library.describe(Take(GENUINE, "ada/a.wav", 0, 16_000, codec="g722"))
    assert facts.keys() == {"kind", "path", "onset", "offset", "codec", "sha256"}
    assert len(facts["sha256"]) == 64


def test_missing_file_is_one_line(library: Library) -> None:
    with pytest.raises(AudioError, match=r"gone\.wav"):
        library.load([Take(GENUINE, "ada/gone.wav", 0, 100)])
