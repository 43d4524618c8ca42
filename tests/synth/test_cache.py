from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from audio.errors import ToolkitError
from synth.cache import Cache, content_key, default_cache_dir

PCM = np.arange(-500, 500, dtype=np.int16)
WAV_BYTES = 44 + 2 * PCM.size


def filled(folder: Path, n: int, *, max_bytes: int = 2**30) -> tuple[Cache, list[str]]:
    cache = Cache(folder, max_bytes=max_bytes)
    keys = [content_key(str(k)) for k in range(n)]
    for age, key in enumerate(keys):
        cache.keep(key, PCM + np.int16(age))
        os.utime(cache._path(key), ns=(10**18 + age, 10**18 + age))
    return cache, keys


def test_returns_what_was_kept(tmp_path: Path) -> None:
    cache, keys = filled(tmp_path, 3)
    assert np.array_equal(cache.find(keys[2]), PCM + 2)
    assert cache.find(content_key("other")) is None


def test_is_bounded_and_forgets_what_was_not_used_for_longest(tmp_path: Path) -> None:
    """Catches a cache that grows for ever, or that throws away what was used last."""
    cache, keys = filled(tmp_path, 6, max_bytes=3 * WAV_BYTES)
    assert cache.find(keys[0]) is not None
    assert cache.trim() == 3 * WAV_BYTES
    assert [k for k, key in enumerate(keys) if cache.find(key) is not None] == [0, 4, 5]
    assert cache.trim() == 0


def test_purge_leaves_strangers_alone(tmp_path: Path) -> None:
    """Catches `purge` pointed at a folder with other things in it."""
    cache, _ = filled(tmp_path, 2)
    stranger = tmp_path / "thesis.txt"
    stranger.write_text("words")
    torn = next(tmp_path.glob("??")) / ".half.wav.123.part"
    torn.write_bytes(b"RIFF")
    assert cache.purge() == 2 * WAV_BYTES + 4
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [stranger]


def test_broken_file_counts_as_absent(tmp_path: Path) -> None:
    cache, keys = filled(tmp_path, 1)
    cache._path(keys[0]).write_bytes(b"RIFF")
    assert cache.find(keys[0]) is None


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolkitError, match="the cache cannot be written"):
        Cache(tmp_path / "file").keep(content_key("a"), PCM)


def test_key_depends_on_everything_and_on_borders() -> None:
    keys = {content_key("ab", "c"), content_key("a", "bc"), content_key("abc"), content_key("abc", PCM)}
    assert len(keys) == 4


def test_place_follows_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir().parent == tmp_path
