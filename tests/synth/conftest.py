from __future__ import annotations

from pathlib import Path

import pytest
from babbling import babble

from audio.reading import write_wav


@pytest.fixture(scope="session")
def voices_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four speakers with six recordings of 1.2 to 3 s each; names have spaces and accents."""
    root = tmp_path_factory.mktemp("voices")
    for s, speaker in enumerate(("ada", "bén", "cleo", "dan")):
        for k in range(6):
            seconds = 1.2 + 0.36 * k
            write_wav(root / speaker / f"line {k}.wav", babble(10 * s + k, seconds=seconds, pitch_hz=95 + 35 * s))
    return root
