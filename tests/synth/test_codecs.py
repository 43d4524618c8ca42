from __future__ import annotations

import numpy as np
import pytest
from babbling import babble, lag_samples

from audio.errors import EngineError
from audio.ffmpeg import find_ffmpeg
from audio.reading import SAMPLE_RATE
from synth import codecs
from synth.codecs import CODECS, Coding, available_codings, delays_samples, fixed_coding, pass_codecs
from synth.pcm import Samples

EVERYWHERE = {"mp3", "aac", "opus", "vorbis", "g722", "pcm_mulaw", "g711_alaw", "g711_mulaw", "gsm", "g726"}
"""What the builds of imageio-ffmpeg and of Debian both have."""

LEAST_CORRELATION = 0.85
"""With what was sent, at the lowest bitrate."""


def upper_band_db(samples: Samples) -> float:
    """Return the power from 4.4 kHz on, relative to all."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(10 * np.log10(power[int(power.size * 0.55) :].sum() / power.sum() + 1e-12))


def test_every_codec_keeps_length_and_place() -> None:
    """Catches a delay left in (AAC 1,024 samples, MP2 481, G.722 22) and endings that are cut off."""
    speech = babble(1, seconds=1.3)
    every = available_codings()
    for coding, coded in zip(every, pass_codecs([speech] * len(every), every), strict=True):
        assert coded.shape == speech.shape, coding
        assert abs(lag_samples(speech, coded)) < SAMPLE_RATE // 2_000, coding
        assert np.corrcoef(speech, coded)[0, 1] > LEAST_CORRELATION, coding
        assert np.corrcoef(speech[-3_000:], coded[-3_000:])[0, 1] > LEAST_CORRELATION - 0.15, coding
        assert not np.array_equal(speech, coded), coding


def test_low_voices_keep_their_place() -> None:
    """Catches the phase of the high-passes in AMR and Speex: a low voice would come up to 3 ms too early."""
    speech = babble(1, seconds=1.5, pitch_hz=95.0)
    every = [coding for coding in available_codings() if CODECS[coding.codec].high_pass_hz]
    bands = [_low_band(samples) for samples in (speech, *pass_codecs([speech] * len(every), every))]
    assert [abs(lag_samples(bands[0], band, within=80)) < 10 for band in bands[1:]] == [True] * len(every)


def _low_band(samples: Samples) -> Samples:
    spectrum = np.fft.rfft(samples)
    frequency_hz = np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * ((frequency_hz > 80) & (frequency_hz < 220)), samples.size).astype(np.float32)


def test_telephone_codecs_are_narrow() -> None:
    """Catches a codec that runs at 16 kHz after all: 8 kHz hold nothing above 4 kHz, the others keep it."""
    hiss = 0.1 * np.random.default_rng(1).standard_normal(16_000).astype(np.float32)
    codings = [fixed_coding(name) for name in sorted({coding.codec for coding in available_codings()})]
    for coding, coded in zip(codings, pass_codecs([hiss] * len(codings), codings), strict=True):
        narrow = CODECS[coding.codec].is_narrowband
        assert (upper_band_db(coded) < -25.0) == narrow, (coding, upper_band_db(coded))
        assert narrow or upper_band_db(coded) > -15.0, (coding, upper_band_db(coded))


def test_same_recording_same_samples() -> None:
    """Catches dates, serial numbers and threads: whatever makes one run of ffmpeg unlike the next."""
    speech = babble(2, seconds=0.7)
    every = available_codings()
    once, again = (pass_codecs([speech] * len(every), every) for _ in range(2))
    assert all(map(np.array_equal, once, again))


def test_aac_and_g722_do_delay() -> None:
    """Catches a probe that measures nothing: these two delays are in the format."""
    delays = delays_samples(find_ffmpeg())
    assert delays[Coding("aac", 48)] >= 1_000
    assert 10 <= delays[Coding("g722", 64)] <= 40


def test_batch_mates_do_not_matter() -> None:
    """Catches one stream for several recordings: the state of ADPCM would leak from one into the next."""
    short, long = babble(2, seconds=0.4), babble(3, seconds=0.9)
    codings = [Coding("g722", 64), Coding("gsm", 13), Coding("opus", 24)]
    together = pass_codecs([long, long, short], codings)
    for i, recording in enumerate((long, long, short)):
        assert np.array_equal(together[i], pass_codecs([recording], codings[i : i + 1])[0])


@pytest.mark.parametrize("n_samples", [0, 1, 100])
def test_tiny_recordings(n_samples: int) -> None:
    tiny = babble(4, seconds=0.1)[:n_samples]
    codings = [fixed_coding(name) for name in sorted({coding.codec for coding in available_codings()})]
    assert {samples.size for samples in pass_codecs([tiny] * len(codings), codings)} == {n_samples}


def test_nothing_to_do_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.codecs.find_ffmpeg", lambda: pytest.fail("ffmpeg was looked for"))
    assert pass_codecs([], []) == []


def test_two_processes_for_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a process for each recording, which would cost more than the coding."""
    delays_samples(find_ffmpeg())
    commands: list[list[str]] = []
    output = codecs._output
    monkeypatch.setattr("synth.codecs._output", lambda command: commands.append(command) or output(command))
    codings = [Coding("mp3", 32), Coding("gsm", 13), *[Coding("aac", 32)] * 3]
    pass_codecs([babble(k, seconds=0.2) for k in range(5)], codings)
    assert len(commands) == 2


def test_available_codings_are_in_order_and_complete() -> None:
    available = available_codings()
    assert {coding.codec for coding in available} >= EVERYWHERE
    everything = [Coding(name, kbps) for name, codec in CODECS.items() for kbps in codec.bitrates_kbps]
    assert [coding for coding in everything if coding in available] == list(available)
    assert set(delays_samples(find_ffmpeg())) == set(available)


LISTS = {
    "-encoders": "Encoders:\n A..... = Audio\n V....D mp3like  x\n A....D libmp3lame  MP3\n A....D libspeex  S\n",
    "-decoders": " A....D mp3   MP3\n A....D aac   AAC\n A....D gsm_ms   GSM\n",
}


def test_codings_need_encoder_and_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches codecs offered that fail in the middle of a build: Speex cannot be decoded here, AAC not encoded."""
    monkeypatch.setattr("synth.codecs._output", lambda command: LISTS[command[-1]])
    assert {coding.codec for coding in available_codings("an old ffmpeg")} == {"mp3", "gsm"}


def test_codec_that_this_ffmpeg_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = delays_samples(find_ffmpeg())
    less = {coding: delay for coding, delay in everything.items() if coding.codec != "opus"}
    monkeypatch.setattr("synth.codecs.delays_samples", lambda ffmpeg: less)
    with pytest.raises(EngineError, match=r"cannot code opus: put a full build on PATH"):
        pass_codecs([babble(1, seconds=0.1)] * 2, [Coding("mp3", 32), Coding("opus", 24)])


def test_program_that_is_none() -> None:
    with pytest.raises(EngineError, match="does not run"):
        available_codings("/nowhere/ffmpeg")


@pytest.mark.parametrize(("codec", "kbps"), [("codec2", 13), ("mp3", 47)])
def test_unknown_coding(codec: str, kbps: int) -> None:
    with pytest.raises(EngineError, match=f"expected one of .*received '?{codec if codec == 'codec2' else kbps}"):
        Coding(codec, kbps)
