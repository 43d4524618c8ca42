from __future__ import annotations

import numpy as np
import pytest
from babbling import babble, lag_samples

from audio.errors import EngineError
from audio.reading import SAMPLE_RATE, find_ffmpeg
from synth.codecs import CODECS, Coding, delays_samples, fixed_coding, pass_codecs

EVERY_CODING = [Coding(name, kbps) for name, codec in CODECS.items() for kbps in codec.bitrates_kbps]


def test_every_codec_keeps_length_and_place() -> None:
    """Catches a delay left in (AAC 1,024 samples, G.722 22) and endings that are cut off."""
    speech = babble(1, seconds=1.3)
    for coding, coded in zip(EVERY_CODING, pass_codecs([speech] * len(EVERY_CODING), EVERY_CODING), strict=True):
        assert coded.shape == speech.shape, coding
        assert abs(lag_samples(speech, coded)) < SAMPLE_RATE // 1_000, coding
        assert np.corrcoef(speech, coded)[0, 1] > 0.9, coding
        assert np.corrcoef(speech[-3_000:], coded[-3_000:])[0, 1] > 0.8, coding
        assert not np.array_equal(speech, coded), coding


def test_aac_and_g722_do_delay() -> None:
    """Catches a probe that measures nothing: these two delays are in the format."""
    delays = delays_samples(find_ffmpeg())
    assert delays[Coding("aac", 48)] >= 1_000
    assert 10 <= delays[Coding("g722", 64)] <= 40


def test_batch_mates_do_not_matter() -> None:
    """Catches one stream for several recordings: the state of ADPCM would leak from one into the next."""
    short, long = babble(2, seconds=0.4), babble(3, seconds=0.9)
    codings = [Coding("g722", 64), Coding("opus", 24)]
    together = pass_codecs([long, short], codings)
    assert np.array_equal(together[0], pass_codecs([long], codings[:1])[0])
    assert np.array_equal(together[1], pass_codecs([short], codings[1:])[0])


@pytest.mark.parametrize("n_samples", [0, 1, 100])
def test_tiny_recordings(n_samples: int) -> None:
    tiny = babble(4, seconds=0.1)[:n_samples]
    codings = [fixed_coding(name) for name in CODECS]
    assert {samples.size for samples in pass_codecs([tiny] * len(codings), codings)} == {n_samples}


def test_nothing_to_do_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.codecs.find_ffmpeg", lambda: pytest.fail("ffmpeg was looked for"))
    assert pass_codecs([], []) == []


@pytest.mark.parametrize(("codec", "kbps"), [("gsm", 13), ("mp3", 47)])
def test_unknown_coding(codec: str, kbps: int) -> None:
    with pytest.raises(EngineError, match=f"expected one of .*received '?{codec if codec == 'gsm' else kbps}"):
        Coding(codec, kbps)
