from __future__ import annotations

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.errors import AudioError
from audio.ffmpeg import find_ffmpeg
from synth.facts import CATEGORIES, NUMBERS, Facts, Header, Meter, measure_file, parse_ffmpeg, read_header

HEADER = Header("wav", "pcm", 16_000, 16, 1, None)


def noise(n_samples: int, *, level_dbfs: float = -20.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(scale=10 ** (level_dbfs / 20), size=n_samples)


def below(edge_hz: float, n_samples: int, *, rate_hz: int = 16_000) -> np.ndarray:
    """Noise with nothing above an edge."""
    spectrum = np.fft.rfft(noise(n_samples))
    spectrum[np.fft.rfftfreq(n_samples, 1 / rate_hz) > edge_hz] = 0
    return np.fft.irfft(spectrum, n_samples)


def metered(samples: np.ndarray, *, rate_hz: int = 16_000, cuts: tuple[int, ...] = ()) -> Meter:
    meter = Meter(rate_hz)
    for piece in np.split(samples, cuts):
        meter.add(piece)
    return meter


def measured(samples: np.ndarray, *, rate_hz: int = 16_000, cuts: tuple[int, ...] = ()) -> Facts:
    return metered(samples, rate_hz=rate_hz, cuts=cuts).facts(replace(HEADER, sample_rate_hz=rate_hz))


def test_every_fact_is_a_number_or_a_category() -> None:
    """Catches a new fact that no audit would look at."""
    assert sorted((*NUMBERS, *CATEGORIES)) == sorted(Facts.__dataclass_fields__)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
def test_a_sine_reads_what_it_is(rate_hz: int) -> None:
    """Catches levels re another full scale, and times or frequencies that assume 16 kHz."""
    sine = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(rate_hz * 2) / rate_hz)
    facts = measured(np.concatenate([np.zeros(rate_hz // 2), sine, np.zeros(rate_hz // 4)]), rate_hz=rate_hz)
    assert facts.duration_s == 2.75
    assert facts.level_dbfs == pytest.approx(-9.03, abs=0.1)
    assert facts.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert facts.leading_silence_s == pytest.approx(0.5, abs=0.011)
    assert facts.trailing_silence_s == pytest.approx(0.25, abs=0.011)
    assert facts.zero_run_s == pytest.approx(0.5, abs=1e-3)
    assert facts.zero_share == pytest.approx(0.75 / 2.75, abs=1e-3)


@pytest.mark.parametrize(("edge_hz", "rate_hz"), [(3_400, 16_000), (5_800, 16_000), (7_700, 16_000), (15_000, 44_100)])
def test_bandwidth_finds_the_edge(edge_hz: float, rate_hz: int) -> None:
    """Catches windows whose skirts reach far beyond the edge, or edges above 8 kHz that nobody sees."""
    sound = below(edge_hz, 2 * rate_hz, rate_hz=rate_hz)
    assert measured(sound, rate_hz=rate_hz).bandwidth_hz == pytest.approx(edge_hz, abs=100)
    quiet_above = sound + noise(2 * rate_hz, level_dbfs=-110.0, seed=1)
    assert measured(quiet_above, rate_hz=rate_hz).bandwidth_hz == pytest.approx(edge_hz, abs=100)


def test_room_noise_before_speech_is_silence() -> None:
    """Catches silence that only zeros are: the pause of a real room lies 30 dB below the speech."""
    sound = np.concatenate([noise(8_000, level_dbfs=-52.0), noise(16_000), noise(4_000, level_dbfs=-52.0)])
    facts = measured(sound)
    assert facts.leading_silence_s == pytest.approx(0.5, abs=0.011)
    assert facts.trailing_silence_s == pytest.approx(0.25, abs=0.011)
    assert facts.level_dbfs == pytest.approx(-20.0, abs=0.3)
    assert facts.zero_run_s == 0.0


def test_facts_do_not_move_each_other() -> None:
    """Catches a gain, an offset or a pause that shows up in facts that are not about it."""
    sound = np.concatenate([noise(1_600, level_dbfs=-60.0), below(5_000, 16_000)])
    plain = measured(sound)
    louder, shifted = measured(4.0 * sound), measured(sound + 0.02)
    assert louder.level_dbfs == pytest.approx(plain.level_dbfs + 12.04, abs=0.01)
    assert louder.peak_dbfs == pytest.approx(plain.peak_dbfs + 12.04, abs=0.01)
    assert shifted.dc_offset == pytest.approx(plain.dc_offset + 0.02)
    for other, about in ((louder, ("level_dbfs", "peak_dbfs", "dc_offset")), (shifted, ("dc_offset",))):
        for name in set(NUMBERS) - set(about):
            assert getattr(other, name) == pytest.approx(getattr(plain, name), abs=1e-6), name
    paused = measured(np.concatenate([sound[:9_000], noise(8_000, level_dbfs=-60.0), sound[9_000:]]))
    assert paused.level_dbfs == pytest.approx(plain.level_dbfs, abs=0.05)


@pytest.mark.parametrize("n_samples", [10, 79, 160, 161, 2_047, 2_048, 2_049, 40_000])
def test_pieces_do_not_matter(n_samples: int) -> None:
    """Catches frames, spectra or runs of zeros that end where a piece does."""
    rng = np.random.default_rng(n_samples)
    sound = noise(n_samples) * (rng.random(n_samples) > 0.3)
    sound[n_samples // 3 : n_samples // 2] = 0.0
    whole = measured(sound)
    for _ in range(5):
        cuts = tuple(sorted(rng.integers(0, n_samples + 1, size=4).tolist()))
        pieced = measured(sound, cuts=cuts)
        # A few spectra more or less would hardly move the bandwidth.
        assert np.allclose(metered(sound, cuts=cuts)._spectrum, metered(sound)._spectrum, rtol=1e-9)
        for name in NUMBERS:
            assert getattr(pieced, name) == pytest.approx(getattr(whole, name), rel=1e-9, abs=1e-12), name


def test_runs_of_zeros_against_counting() -> None:
    """The fast count of runs beside a loop over the samples."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        sound = np.repeat(rng.integers(0, 2, size=40), rng.integers(1, 200, size=40)).astype(np.float64)
        sound[0] = 1.0
        runs = [len(list(run)) for value, run in itertools.groupby(sound) if value == 0.0]
        kept = [n for n in runs if n >= 80]
        facts = measured(sound, cuts=tuple(sorted(rng.integers(0, sound.size, size=3).tolist())))
        assert facts.zero_run_s == max(kept, default=0) / 16_000
        assert facts.zero_share == pytest.approx(sum(kept) / sound.size)


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_digital_silence_has_no_level(offset: float) -> None:
    """Catches NaN, -inf and warnings about logarithms."""
    facts = measured(np.full(8_000, offset, dtype=np.float32))
    assert (facts.level_dbfs, facts.peak_dbfs, facts.bandwidth_hz) == (None, None, None)
    assert (facts.leading_silence_s, facts.trailing_silence_s) == (0.5, 0.5)
    assert facts.dc_offset == pytest.approx(offset)
    assert measured(np.full(1, offset)).level_dbfs is None


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.wav", {"subtype": "PCM_16"}, Header("wav", "pcm", 16_000, 16, 1, 1.0)),
        ("b.wav", {"subtype": "PCM_24"}, Header("wav", "pcm", 16_000, 24, 1, 1.0)),
        ("c.wav", {"subtype": "FLOAT"}, Header("wav", "pcm", 16_000, 32, 1, 1.0)),
        ("d.wav", {"subtype": "ULAW"}, Header("wav", "mulaw", 16_000, None, 1, 1.0)),
        ("e.flac", {"subtype": "PCM_16"}, Header("flac", "flac", 16_000, 16, 1, 1.0)),
        ("f.ogg", {"subtype": "VORBIS"}, Header("ogg", "vorbis", 16_000, None, 1, 1.0)),
        ("g.mp3", {"subtype": "MPEG_LAYER_III"}, Header("mp3", "mp3", 16_000, None, 1, 1.0)),
    ],
)
def test_headers(tmp_path: Path, name: str, options: dict[str, str], expected: Header) -> None:
    soundfile.write(tmp_path / name, below(3_000, 16_000), 16_000, **options)
    header = read_header(tmp_path / name)
    assert replace(header, duration_s=1.0) == expected
    assert header.duration_s == pytest.approx(1.0, abs=0.2)


def test_a_file_that_only_ffmpeg_reads(tmp_path: Path) -> None:
    """Catches the stereo M4A of a phone: header and sound through ffmpeg, at its own rate."""
    path = tmp_path / "phone.m4a"
    soundfile.write(tmp_path / "a.wav", np.stack([below(15_000, 44_100, rate_hz=44_100)] * 2, axis=1), 44_100)
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-i", str(tmp_path / "a.wav"), "-b:a", "192k", str(path)]
    subprocess.run(command, check=True)
    facts = measure_file(path)
    assert (facts.container, facts.codec, facts.bit_depth, facts.channels) == ("m4a", "aac", None, 2)
    assert facts.sample_rate_hz == 44_100
    assert facts.bandwidth_hz is not None
    assert 10_000 < facts.bandwidth_hz < 16_500


@pytest.mark.parametrize(
    ("track", "name", "expected"),
    [
        ("Input #0, matroska,webm, from 'x':|Audio: opus, 48000 Hz, 5.1, fltp", "x.webm", ("webm", "opus", None, 6)),
        ("Input #0, wav, from 'x':|Audio: pcm_s16le ([1][0][0][0] / 0x0001), 8000 Hz, mono, s16, 128 kb/s", "x", None),
        ("Input #0, amr, from 'x':|Audio: amr_nb (amrnb / 0x0), 8000 Hz, 1 channels, flt", "x.amr", None),
        ("Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'x':|Audio: alac (alac), 44100 Hz, stereo, s32p (24 bit)", "x", None),
    ],
)
def test_what_ffmpeg_prints(track: str, name: str, expected: tuple[object, ...] | None) -> None:
    known = {"wav": ("wav", "pcm", 16, 1), "amr": ("amr", "amr_nb", None, 1), "mov": ("mov", "alac", 24, 2)}
    said = "  Duration: 00:01:02.50, start: 0.0\n  Stream #0:0(und): ".join(track.replace("|", "\n|").split("|"))
    header = parse_ffmpeg(said, path=Path(name))
    wanted = expected or known[header.container]
    assert (header.container, header.codec, header.bit_depth, header.channels) == wanted
    assert header.duration_s == 62.5


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound in here")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    bad = np.zeros(100, dtype=np.float32)
    bad[7] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, 16_000, subtype="FLOAT")
    said = {"none": "expected a file", "text": "no recording", "empty": "without a sample", "nan": "not finite"}
    for name, words in said.items():
        with pytest.raises(AudioError, match=words):
            measure_file(tmp_path / f"{name}.wav")
