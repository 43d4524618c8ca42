"""A folder that mirrors an address: what is copied, what is not copied again, and what goes."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pytest

from audio import mirroring, remote
from audio.errors import ToolkitError, UsageError
from audio.mirroring import INDEX, mirror
from audio.reading import read, write_wav
from audio.remote import Found
from synth.cache import ADDRESSES, Cache
from synth.order import order_from, read_order


@pytest.fixture
def address(tmp_path):
    """Three recordings of two speakers in fsspec's memory, with a table and a note that is none of ours."""
    store, name = fsspec.filesystem("memory"), f"voices-{uuid4()}"
    for k, path in enumerate(("a/1.wav", "a/2.wav", "b/3.wav")):
        write_wav(tmp_path / "made.wav", np.full(1_600, 0.1 * (k + 1), np.float32))
        store.pipe(f"/{name}/{path}", (tmp_path / "made.wav").read_bytes())
    store.pipe(f"/{name}/manifest.csv", b"path,label\na/1.wav,real\n")
    store.pipe(f"/{name}/notes.txt", b"no recording")
    return f"memory://{name}"


@pytest.fixture
def copied(monkeypatch) -> list[str]:
    """The names of what is copied."""
    found: list[str] = []
    copy = mirroring._copy
    monkeypatch.setattr(mirroring, "_copy", lambda url, target: found.append(target.name) or copy(url, target))
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_it_is_kept_like_the_address(address, tmp_path, copied):
    """Catches recordings copied again and again, a changed one that stays old, and one that is gone and still heard."""
    store = fsspec.filesystem("memory")
    folder = mirror(address, tmp_path / "here")
    assert names(folder) == [INDEX, "a/1.wav", "a/2.wav", "b/3.wav", "manifest.csv"]
    assert read(folder / "b" / "3.wav") == pytest.approx(0.3, abs=1e-4)
    assert sorted(copied) == ["1.wav", "2.wav", "3.wav", "manifest.csv"]
    copied.clear()
    assert mirror(address, tmp_path / "here") == folder
    assert copied == []
    place = address.removeprefix("memory:/")
    store.pipe(f"{place}/a/1.wav", store.cat(f"{place}/b/3.wav"))
    store.rm(f"{place}/a/2.wav")
    (folder / "b" / "3.wav").unlink()
    mirror(address, tmp_path / "here")
    assert sorted(copied) == ["1.wav", "3.wav"]
    assert names(folder) == [INDEX, "a/1.wav", "b/3.wav", "manifest.csv"]
    assert (folder / "a" / "1.wav").read_bytes() == (folder / "b" / "3.wav").read_bytes()


def test_two_addresses_have_two_folders(address, tmp_path):
    assert mirror(f"{address}/a", tmp_path) != mirror(f"{address}/b", tmp_path)


def test_what_was_copied_before_a_failure_stays(address, tmp_path, copied, monkeypatch):
    """Catches an hour of copying that is lost when the last file fails."""
    copy = mirroring._copy

    def failing(url: str, target: Path) -> None:
        if target.name == "3.wav":
            raise ToolkitError(f"{url}: its store cannot be reached")
        copy(url, target)

    with monkeypatch.context() as broken:
        broken.setattr(mirroring, "_copy", failing)
        broken.setattr(mirroring, "AT_ONCE", 1)
        with pytest.raises(ToolkitError, match=r"3\.wav: its store cannot be reached"):
            mirror(address, tmp_path)
    copied.clear()
    mirror(address, tmp_path)
    assert "1.wav" not in copied
    assert "3.wav" in copied


def test_a_store_cannot_write_outside(address, tmp_path, monkeypatch):
    """Catches a key with dots in it that ends up in somebody's home."""
    monkeypatch.setattr(remote, "found", lambda source: iter([Found(f"{source}/../../evil.wav", 1, "0")]))
    with pytest.raises(ToolkitError, match="expected a path inside"):
        mirror(address, tmp_path / "here")
    assert not (tmp_path / "evil.wav").exists()


def test_nothing_there_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="found none"):
        mirror(f"memory://nothing-{uuid4()}", tmp_path)


def test_an_order_takes_addresses_and_purging_removes_them(address, tmp_path):
    """Catches `s3://bucket` that becomes `s3:/bucket` on its way, and voices that stay after a purge."""
    (tmp_path / "recipe.toml").write_text(f'clips = 3\nreal = "{address}"\nnoise = "noise"\ncache = "cache"\n')
    order = order_from(read_order(tmp_path / "recipe.toml"))
    real = order.folders.real
    assert real.parent == tmp_path / "cache" / ADDRESSES
    assert names(real / "a") == ["1.wav", "2.wav"]
    assert order.folders.noise == tmp_path / "noise"
    n_bytes = sum(path.stat().st_size for path in real.rglob("*") if path.is_file())
    assert Cache(tmp_path / "cache").purge() == n_bytes > 0
    assert not real.exists()
    assert os.listdir(tmp_path / "cache") == []
