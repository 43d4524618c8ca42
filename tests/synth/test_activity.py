from __future__ import annotations

import numpy as np
import pytest
from babbling import babble

from audio.errors import UsageError
from audio.segments import n_frames
from synth.activity import HOP_SAMPLES, speech_frames


@pytest.mark.parametrize("n_samples", [0, 1, 159, 160, 319, 320, 321, 479, 480, 16_000, 16_159, 16_160])
def test_every_length(n_samples: int) -> None:
    """Catches a last frame that is forgotten, or handed to the detector too short."""
    marks = speech_frames(babble(1, seconds=1.1)[:n_samples])
    assert marks.shape == (n_frames(n_samples, HOP_SAMPLES),)
    assert marks.dtype == np.bool_


def test_finds_speech_between_silences() -> None:
    """Catches frames off by one, and marks that hold on through a pause."""
    silence = 0.0002 * np.random.default_rng(1).standard_normal(16_000).astype(np.float32)
    marks = speech_frames(np.concatenate([silence, babble(2, seconds=1.0), silence]))
    assert not marks[:48].any()
    assert marks[52:98].mean() > 0.8
    assert not marks[105:].any()


def test_recordings_do_not_depend_on_each_other() -> None:
    """Catches a detector that remembers the noise of the recording before."""
    speech = babble(3, seconds=1.0)
    alone = speech_frames(speech)
    speech_frames(np.random.default_rng(1).standard_normal(48_000).astype(np.float32) * 0.3)
    assert np.array_equal(speech_frames(speech), alone)


def test_quiet_recordings_hold_speech_too() -> None:
    """Catches a level gate that is absolute."""
    speech = babble(4, seconds=2.0)
    assert np.mean(speech_frames(speech) == speech_frames(speech / 10)) > 0.75


def test_silence_and_full_scale() -> None:
    assert not speech_frames(np.zeros(8_000, dtype=np.float32)).any()
    assert speech_frames(babble(5, seconds=1.0) * 50).any()


def test_other_hops_are_refused() -> None:
    with pytest.raises(UsageError, match="hop_samples: expected 320, received 160"):
        speech_frames(babble(1, seconds=0.1), hop_samples=160)
