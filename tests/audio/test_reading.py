"""Every format that we promise, made by a real ffmpeg, and every file that somebody will throw at us."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from conftest import chirp

from audio import ffmpeg, reading
from audio.errors import AudioError, EngineError, LimitError, UsageError
from audio.ffmpeg import ffmpeg_version, find_ffmpeg
from audio.reading import Limits, blocks, inspect, opened, read, read_span, write_wav

Encode = Callable[..., Path]

# name, ffmpeg options, the most samples that the codec may add or drop, least correlation with what went in
FORMATS = [
    ("a.flac", (), 0, 0.999),
    ("a.mp3", ("-b:a", "64k"), 0, 0.98),
    ("a.ogg", ("-c:a", "libvorbis"), 0, 0.98),
    ("a.opus", ("-b:a", "48k"), 0, 0.98),
    ("a.aiff", (), 0, 0.999),
    ("a.m4a", ("-c:a", "aac"), 0, 0.98),
    ("a.mp4", ("-c:a", "aac", "-movflags", "+faststart"), 0, 0.98),
    ("a.aac", ("-c:a", "aac"), 2_048, 0.98),
    ("a.webm", ("-c:a", "libopus"), 0, 0.98),
    ("a.amr", ("-ar", "8000", "-c:a", "libopencore_amrnb"), 400, 0.80),
    ("a.g722", ("-f", "g722"), 0, 0.98),
    ("a.wma", ("-c:a", "wmav2"), 2_048, 0.98),
    ("ulaw.wav", ("-c:a", "pcm_mulaw"), 0, 0.98),
    ("adpcm.wav", ("-c:a", "adpcm_ms"), 1_024, 0.98),
]


def best_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The highest normalised cross-correlation at any lag: codecs delay."""
    n = 2 * max(a.size, b.size)
    spectrum = np.fft.rfft(a, n) * np.conj(np.fft.rfft(b, n))
    return float(np.fft.irfft(spectrum, n).max() / np.sqrt(np.sum(a**2.0) * np.sum(b**2.0)))


def refused(path: Path, **options: Limits) -> str:
    """The one line that `read` says about a bad file."""
    with pytest.raises(AudioError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("name", "options", "padding", "likeness"), FORMATS, ids=[f[0] for f in FORMATS])
def test_every_format(encode: Encode, name: str, options: tuple[str, ...], padding: int, likeness: float) -> None:
    """Catches a wrong rate, a wrong byte order, lost ends and a format that no decoder takes."""
    samples = read(encode(name, *options))
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert abs(samples.size - 16_000) <= padding
    assert best_correlation(samples, chirp(1.0)) > likeness


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.ogg", "a.m4a", "a.g722"])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_blocks_equal_read_bit_for_bit(encode: Encode, name: str, rate_hz: int) -> None:
    """Catches block edges that leak into the resampler or the decoder."""
    path = encode(name, seconds=0.8, rate_hz=rate_hz)
    whole = read(path)
    for block_samples in (1, 37, 4_096, whole.size, whole.size + 1):
        found = list(blocks(path, block_samples=block_samples))
        assert all(block.size == block_samples for block in found[:-1])
        assert 0 < found[-1].size <= block_samples
        assert np.array_equal(np.concatenate(found), whole)


def test_pieces_of_any_size_give_the_same_samples(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a result that depends on how much is decoded at a time."""
    paths = [encode(name, "-ac", "2", rate_hz=44_100) for name in ("a.wav", "a.flac", "a.m4a", "a.mp3", "a.ogg")]
    expected = [read(path) for path in paths]
    monkeypatch.setattr(reading, "PIECE_VALUES", 1_234)
    for path, whole in zip(paths, expected, strict=True):
        assert np.abs(read(path) - whole).max() < 1e-6


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_time_and_level(tmp_path: Path, rate_hz: int) -> None:
    """Catches a resampler that delays, loses its tail or changes the level."""
    soundfile.write(tmp_path / "a.wav", chirp(1.5, rate_hz=rate_hz), rate_hz, subtype="FLOAT")
    samples = read(tmp_path / "a.wav")
    assert samples.size == 24_000
    assert np.abs(samples - chirp(1.5))[200:-200].max() < 2e-3
    oneshot = soxr.resample(chirp(1.5, rate_hz=rate_hz), rate_hz, 16_000, quality="HQ")
    assert np.abs(samples - oneshot).max() < 1e-5


@pytest.mark.parametrize("n", [0, 1, 2, 319, 320, 321])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_every_length_works(tmp_path: Path, n: int, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(n, 0.1), rate_hz)
    assert read(tmp_path / "a.wav").size == (2 * n * 16_000 + rate_hz) // (2 * rate_hz)
    assert sum(block.size for block in blocks(tmp_path / "a.wav", block_samples=7)) == read(tmp_path / "a.wav").size


@pytest.mark.parametrize("suffix", ["wav", "flac", "m4a"])
@pytest.mark.parametrize("channels", [2, 6])
def test_downmix_is_the_mean(tmp_path: Path, encode: Encode, suffix: str, channels: int) -> None:
    """Catches ffmpeg's own downmix, which weights the channels of 5.1, and a mix that keeps only the first."""
    signal = np.zeros((16_000, channels), dtype=np.float32)
    signal[:, channels - 2] = chirp(1.0)
    soundfile.write(tmp_path / "many.wav", signal, 16_000, subtype="PCM_16")
    path = tmp_path / f"many.{suffix}"
    if suffix != "wav":
        codec = "alac" if suffix == "m4a" else "flac"
        command = [find_ffmpeg(), "-v", "error", "-i", str(tmp_path / "many.wav"), "-c:a", codec, str(path)]
        subprocess.run(command, check=True)
    assert np.abs(read(path) - chirp(1.0) / channels).max() < 1e-4


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.m4a"])
def test_one_channel_of_several(name: str, encode: Encode) -> None:
    """Catches the two sides of a call mixed up, or averaged: the right one is silent here."""
    path = encode(name, "-af", "pan=stereo|c0=c0|c1=0*c0")
    left, right, both = read(path, channel=0), read(path, channel=1), read(path)
    assert np.abs(left).max() > 0.05
    assert np.abs(right).max() < 1e-3
    np.testing.assert_allclose(both, (left + right) / 2, atol=1e-6)
    with pytest.raises(AudioError, match="channel: expected 0 to 1, received 2"):
        read(path, channel=2)


@pytest.mark.parametrize(
    ("name", "options", "container", "codec", "decoder"),
    [
        ("a.wav", (), "WAV", "PCM_16", "libsndfile"),
        ("a.flac", (), "FLAC", "PCM_16", "libsndfile"),
        ("a.opus", (), "OGG", "OPUS", "libsndfile"),
        ("a.m4a", (), "mov,mp4,m4a,3gp,3g2,mj2", "aac", "ffmpeg"),
        ("a.g722", ("-ar", "16000"), "g722", "adpcm_g722", "ffmpeg"),
        ("a.mka", ("-ac", "3"), "matroska,webm", "vorbis", "ffmpeg"),
    ],
)
def test_what_a_file_says_of_itself(
    encode: Encode, name: str, options: tuple[str, ...], container: str, codec: str, decoder: str
) -> None:
    """Catches a codec that is not the sound's, and a layout whose number of channels is not known."""
    path = encode(name, *options)
    facts = inspect(path)
    assert (facts.container, facts.codec, facts.decoder.split()[0]) == (container, codec, decoder)
    with opened(path) as stream:
        assert (facts.sample_rate, facts.channels) == (stream.rate_hz, stream.channels)


def test_inspecting_no_recording_is_one_line(encode: Encode, tmp_path: Path) -> None:
    (tmp_path / "x.m4a").write_text("hello")
    film = encode("a.mp4", "-f", "lavfi", "-i", "color=c=red:d=0.2:s=32x32", "-map", "1:v")
    for path, message in ((tmp_path / "x.m4a", "is truncated or damaged"), (film, "holds no audio track")):
        with pytest.raises(AudioError, match=message):
            inspect(path)


def test_sample_formats(tmp_path: Path) -> None:
    """Catches unsigned 8-bit read as signed, and floats beyond full scale clipped."""
    for subtype, step in [("PCM_U8", 1 / 127), ("PCM_24", 1e-6), ("FLOAT", 0.0), ("DOUBLE", 0.0)]:
        soundfile.write(tmp_path / "a.wav", chirp(0.1), 16_000, subtype=subtype)
        assert np.abs(read(tmp_path / "a.wav") - chirp(0.1)).max() <= step
    soundfile.write(tmp_path / "loud.wav", 40 * chirp(0.1), 16_000, subtype="FLOAT")
    assert np.array_equal(read(tmp_path / "loud.wav"), 40 * chirp(0.1))


def test_non_finite_and_absurd_samples(tmp_path: Path) -> None:
    """Catches NaN that reaches the network, and a count that stops at the first piece."""
    signal = np.zeros(300_000, dtype=np.float32)
    signal[[5, 299_999]] = np.nan, np.inf
    soundfile.write(tmp_path / "nan.wav", signal, 16_000, subtype="FLOAT")
    assert "holds 2 samples that are not finite" in refused(tmp_path / "nan.wav")
    soundfile.write(tmp_path / "huge.wav", np.full(10, -2e6), 16_000, subtype="FLOAT")
    assert "holds samples of 2e+06" in refused(tmp_path / "huge.wav")


# Files that lie.


def test_decompression_bombs_stop_while_decoding(encode: Encode, tmp_path: Path) -> None:
    """Catches caps that are checked on the header, or only when memory is full."""
    silence = ("-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono", "-map", "1:a", "-t", "60")
    for name in ("bomb.opus", "bomb.flac", "bomb.webm"):
        path = encode(name, *silence)
        assert path.stat().st_size < 1_000_000
        assert "limit of 20 s" in refused(path, limits=Limits(max_seconds=20.0))
        assert "limit of 1000000 bytes" in refused(path, limits=Limits(max_bytes=1_000_000))
        with pytest.raises(LimitError, match="limit of 20 s"):
            sum(map(len, blocks(path, block_samples=16_000, limits=Limits(max_seconds=20.0))))


def test_limits_are_inclusive(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", chirp(1.0), 16_000)
    assert read(tmp_path / "a.wav", limits=Limits(max_seconds=1.0, max_bytes=64_000)).size == 16_000


@pytest.mark.parametrize("rate_hz", [1, 2_000_000_000])
def test_forged_sample_rate(tmp_path: Path, rate_hz: int) -> None:
    """Catches 1 Hz, which would make 16,000 samples of each one, and a rate that hides the duration."""
    soundfile.write(tmp_path / "a.wav", chirp(0.1), 16_000)
    forged = bytearray((tmp_path / "a.wav").read_bytes())
    forged[24:28] = struct.pack("<I", rate_hz)
    (tmp_path / "a.wav").write_bytes(forged)
    assert "sample rate: expected 2000 to 768000 Hz" in refused(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "m4a", "webm"])
def test_truncated_files(encode: Encode, suffix: str) -> None:
    """Catches half a recording that is judged as if it were whole."""
    options = ("-movflags", "+faststart") if suffix == "m4a" else ()
    path = encode(f"a.{suffix}", *options, seconds=3.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    assert "truncated" in refused(path)
    if suffix in ("wav", "flac"):
        with pytest.raises(AudioError, match="truncated"):
            read_span(path, 40_000, 48_000)


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF])
def test_streamed_wav_promises_nothing(tmp_path: Path, size: int) -> None:
    """Catches a refusal of recorders that cannot know the length when they write the header."""
    write_wav(tmp_path / "a.wav", chirp(1.0))
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(data)
    assert read(tmp_path / "a.wav").size == 16_000


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg"])
def test_files_put_end_to_end(encode: Encode, name: str) -> None:
    """Catches a splice made by `cat`, of which libsndfile reads only the first part."""
    path = encode(name, "-b:a", "64k")
    path.write_bytes(path.read_bytes() * 2)
    assert abs(read(path).size - 32_000) < 2_500


def test_mp3_without_a_table_is_read_to_its_end(encode: Encode) -> None:
    """Catches libsndfile's guess of the length, which drops half of a VBR file without a Xing header."""
    path = encode("a.mp3", "-write_xing", "0", "-q:a", "4", seconds=4.0)
    assert abs(read(path).size - 64_000) < 2_500


def test_a_long_mp3_is_read_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Catches a seek before each piece, at which libmpg123 complains on stderr of bits it has thrown away."""
    noise = 0.3 * np.random.default_rng(0).standard_normal(16_000 * 60) * (np.arange(960_000) // 8_000 % 2)
    soundfile.write(tmp_path / "a.wav", noise.astype(np.float32), 16_000)
    command = [find_ffmpeg(), "-loglevel", "error", "-i", "a.wav", "-b:a", "64k", "a.mp3"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert abs(read(tmp_path / "a.mp3").size - noise.size) < 2_500
    assert capfd.readouterr().err == ""


def test_mp3_with_tags(encode: Encode) -> None:
    """Catches an ID3 tag mistaken for sound, or for surplus."""
    path = encode("a.mp3", "-metadata", "title=" + "x" * 5_000, "-write_id3v1", "1")
    assert read(path).size == 16_000


def test_wrong_suffix_does_not_matter(encode: Encode, tmp_path: Path) -> None:
    for source, name in [("a.m4a", "b.wav"), ("a.wav", "c.mp3"), ("a.flac", "d.raw"), ("a.mp3", "e.m4a")]:
        shutil.move(encode(source), tmp_path / name)
        assert read(tmp_path / name).size == 16_000


@pytest.mark.parametrize("name", ["list.m3u8", "list.m4a", "list.wav"])
def test_playlist_opens_no_other_file(encode: Encode, tmp_path: Path, name: str) -> None:
    """Catches HLS: a text that makes ffmpeg read, and give away, any file of this machine."""
    secret = encode("secret.aac")
    (tmp_path / name).write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")
    refused(tmp_path / name)
    with pytest.raises(AudioError):
        read_span(tmp_path / name, 0, 10)


def test_concat_script_opens_no_other_file(encode: Encode, tmp_path: Path) -> None:
    secret = encode("secret.aac")
    (tmp_path / "script.wav").write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    assert "a playlist or script is not a recording" in refused(tmp_path / "script.wav")


def test_names_are_not_protocols(monkeypatch: pytest.MonkeyPatch, encode: Encode) -> None:
    """Catches a file name that ffmpeg takes for an option or an address."""
    made = encode("a.m4a")
    monkeypatch.chdir(made.parent)
    for name in ("-i.m4a", "concat:a.m4a", "50% of 1.m4a"):
        shutil.copy(made, made.parent / name)
        assert read(name).size == 16_000


def test_no_recording_at_all(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("This is no sound. " * 100)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(20_000))
    (tmp_path / "utf16.txt").write_text("no sound " * 500, encoding="utf-16")
    for name in ("text.wav", "noise.mp3", "utf16.txt"):
        refused(tmp_path / name)
    assert "received 0 bytes" in refused(tmp_path / "empty.wav")
    assert "cannot be opened: No such file" in refused(tmp_path / "missing.wav")
    assert "cannot be opened: " in refused(tmp_path)


def test_forbidden_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened by a stand-in: a test that runs as root could open anything."""

    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    assert "Permission denied" in refused(tmp_path / "a.wav")


def test_film_without_sound(encode: Encode) -> None:
    path = encode("a.mp4", "-f", "lavfi", "-i", "color=c=red:d=0.2:s=32x32", "-map", "1:v")
    assert "holds no audio track" in refused(path)


def test_film_with_sound(encode: Encode) -> None:
    path = encode("a.mp4", "-f", "lavfi", "-i", "color=c=red:d=1:s=32x32", "-map", "0:a", "-map", "1:v")
    assert best_correlation(read(path), chirp(1.0)) > 0.98


# Parts, writing, ffmpeg.


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "m4a"])
@pytest.mark.parametrize("rate_hz", [16_000, 8_000])
def test_span_is_a_slice(encode: Encode, suffix: str, rate_hz: int) -> None:
    """Catches a seek that is off by one, and a fast path that differs from the slow one."""
    path = encode(f"a.{suffix}", rate_hz=rate_hz)
    whole = read(path)
    for onset, offset in [(0, 0), (0, 1), (5, 777), (15_990, 20_000), (16_000, 16_001), (30_000, 30_010)]:
        span = read_span(path, onset, offset)
        assert span.dtype == np.float32
        assert np.array_equal(span, whole[onset:offset])


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="received 5 and 4"):
        read_span(tmp_path / "a.wav", 5, 4)
    with pytest.raises(UsageError, match="received 0"):
        blocks(tmp_path / "a.wav", block_samples=0)


def test_write_wav_rounds_and_clips(tmp_path: Path) -> None:
    """Catches truncation towards zero, wrap-around at full scale, and dither."""
    path = tmp_path / "new" / "a.wav"
    write_wav(path, np.array([0.0, 0.6 / 32768, -0.6 / 32768, 1.0, 7.0, -1.0, -7.0]))
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        pcm = np.frombuffer(file.readframes(99), "<i2")
    assert pcm.tolist() == [0, 1, -1, 32767, 32767, -32768, -32768]
    assert [p.name for p in path.parent.iterdir()] == ["a.wav"]


def test_write_then_read_is_exact(tmp_path: Path) -> None:
    pcm = np.random.default_rng(0).integers(-32768, 32768, 5_000).astype(np.int16)
    write_wav(tmp_path / "a.wav", pcm)
    once = read(tmp_path / "a.wav")
    assert np.array_equal(once * 32768, pcm)
    write_wav(tmp_path / "b.wav", once)
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((2, 5)), r"float64 of shape \(2, 5\)"),
        (np.zeros(5, dtype=np.int32), "int32"),
        (np.array([0.0, np.nan]), "1 samples are not finite"),
    ],
)
def test_write_wav_refuses(tmp_path: Path, bad: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        write_wav(tmp_path / "a.wav", bad)
    assert not list(tmp_path.iterdir())


def test_ffmpeg_is_found_and_named() -> None:
    assert ffmpeg_version(find_ffmpeg())[0] in "0123456789nN"
    with pytest.raises(EngineError, match="does not run as ffmpeg"):
        ffmpeg_version(sys.executable + "-missing")


def test_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exe = tmp_path / ("ffmpeg.exe" if os.name == "nt" else "ffmpeg")
    exe.write_text("#!/bin/sh\n")
    exe.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(find_ffmpeg()) == exe


def test_without_ffmpeg_the_message_says_how_to_get_it(
    encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a need for ffmpeg where libsndfile is enough, and a traceback where it is not."""
    wav, m4a = encode("a.wav"), encode("a.m4a")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert read(wav).size == 16_000
    with pytest.raises(EngineError, match="pip install imageio-ffmpeg"):
        read(m4a)


def test_stopping_early_ends_ffmpeg(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches processes that go on decoding, or stay as zombies, when nobody wants the rest."""
    started: list[subprocess.Popen[bytes]] = []

    class Spy(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[call-overload]
            started.append(self)

    path = encode("a.m4a", seconds=20.0)
    monkeypatch.setattr(ffmpeg.subprocess, "Popen", Spy)
    some = blocks(path, block_samples=100)
    next(some)
    some.close()  # type: ignore[attr-defined]
    assert len(started) == 1
    assert started[0].returncode is not None
