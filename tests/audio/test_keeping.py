"""Sound that is written down while it comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import chirp

from audio.errors import AudioError, UsageError
from audio.keeping import keeping, not_keeping
from audio.reading import read


def keep(path: Path, *, pieces: int = 7, level: float = 0.3) -> np.ndarray:
    with keeping(path) as write:
        return np.concatenate([write(piece) for piece in np.array_split(chirp(1.0, level=level), pieces)])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "new/A.WAV"])
def test_what_is_given_back_is_what_the_file_says(tmp_path: Path, name: str) -> None:
    """Catches a verdict on other samples than those that are kept: to the last bit."""
    samples = keep(tmp_path / name)
    assert samples.dtype == np.float32
    assert np.array_equal(samples, read(tmp_path / name))
    assert np.abs(samples - chirp(1.0)).max() <= 0.5 / 32_768
    facts = soundfile.info(tmp_path / name)
    assert (facts.samplerate, facts.channels, facts.subtype) == (16_000, 1, "PCM_16")


def test_what_is_too_loud_is_cut_off_and_does_not_wrap(tmp_path: Path) -> None:
    samples = keep(tmp_path / "a.wav", level=2.0)
    assert (samples.min(), samples.max()) == (-1.0, 32_767 / 32_768)
    assert np.abs(samples - np.clip(chirp(1.0, level=2.0), -1.0, 1.0)).max() <= 1 / 32_768


def test_what_was_heard_is_kept_whatever_happens_then(tmp_path: Path) -> None:
    """Catches an interview that is lost because a pipe broke at its end."""

    def body() -> None:
        with keeping(tmp_path / "a.wav") as write:
            write(chirp(0.5))
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        body()
    assert read(tmp_path / "a.wav").size == 8_000
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"], "nothing is left beside it"


@pytest.mark.parametrize("fails", [True, False])
def test_without_a_sample_the_older_file_stays(tmp_path: Path, fails: bool) -> None:
    (tmp_path / "a.wav").write_bytes(b"older")
    try:
        with keeping(tmp_path / "a.wav"):
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert (tmp_path / "a.wav").read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, error in [("a.mp3", UsageError), ("a", UsageError), ("file/a.wav", AudioError)]:
        with pytest.raises(error, match=r"expected a name|cannot be written") as caught, keeping(tmp_path / name):
            pass
        assert "\n" not in str(caught.value)


def test_sound_that_is_not_kept_comes_back_as_it_is() -> None:
    samples = chirp(0.1)
    with not_keeping() as write:
        assert write(samples) is samples
