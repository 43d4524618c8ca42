from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from audio.digest import file_sha256
from audio.errors import AudioError


def test_the_hash_is_of_the_bytes_as_they_are_now(tmp_path: Path) -> None:
    """Catches a hash that is remembered although the file has changed, also to the same length."""
    path = tmp_path / "a.wav"
    for second, content in enumerate((b"one", b"two", b"")):
        path.write_bytes(content)
        os.utime(path, ns=(0, second * 10**9))
        assert file_sha256(path) == hashlib.sha256(content).hexdigest()


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot be read") as caught:
        file_sha256(tmp_path / "none.wav")
    assert "\n" not in str(caught.value)
