"""Listings: the order of `sorted`, each file once, and no memory for them."""

from __future__ import annotations

import os
import random
import tracemalloc
from pathlib import Path

import pytest

from audio.listing import AHEAD, Item, Listing, below, in_order, listing
from audio.manifest import recordings_below


def test_a_folder_is_listed_as_sorted_orders_paths(tmp_path):
    """Catches names compared as texts, where `a-b/x` comes before `a/x`, and a hidden or linked file too many."""
    names = "a/x.wav", "a-b/x.wav", "a.wav", "a/b/c.flac", "B.wav", "ü/x.wav", "a b/x.WAV", ".h/x.wav"
    for name in (*names, ".x.wav", "n.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    found = [item.path for item in below(tmp_path)]
    assert found == [str(path) for path in sorted(recordings_below(tmp_path))]
    assert len(found) == 8


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_to_files_and_not_to_folders(tmp_path):
    """Catches a walk in circles."""
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").symlink_to("a.wav")
    (tmp_path / "c.wav").symlink_to("c.wav")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "again.wav").symlink_to(tmp_path)
    assert [path.name for path in sorted(recordings_below(tmp_path))] == ["a.wav", "b.wav", "c.wav"]


def test_any_names_are_sorted_as_texts(tmp_path):
    names = [*map(chr, (0x41, 0xE9, 0x4E00, 0x1F600, 0xDCE9)), "a", "ab", "a b", "a/b", "aa/b"]
    random.Random(0).shuffle(names)
    assert [item.path for item in in_order(map(Item, names), by=str)] == sorted(names)


def test_each_path_once_and_looked_at_late(tmp_path):
    """Catches a file that is judged twice, and a change between listing and judging that is not seen."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"12")
    with listing() as items:
        for name in (str(path), "missing.wav", str(path), "", "zero\0.wav"):
            items.add(Item(name))
        path.write_bytes(b"123")
        assert len(items) == 4
        found = list(items)
    assert [(item.path, item.n_bytes) for item in found] == [
        (str(path), 3), ("missing.wav", -1), ("", -1), ("zero\0.wav", -1),
    ]  # fmt: skip


def test_no_more_is_looked_at_than_is_taken(tmp_path, monkeypatch):
    """Catches a listing that asks a store about a million files before the first is judged."""
    looked: list[str] = []
    monkeypatch.setattr(Item, "looked_at", lambda self: looked.append(self.path) or self)
    with listing() as items:
        for k in range(1000):
            items.add(Item(f"{k}.wav"))
        taken = iter(items)
        for _ in range(3):
            next(taken)
        assert len(looked) <= 3 + AHEAD
        taken.close()
    assert len(looked) <= 3 + AHEAD


def test_memory_does_not_grow_with_items():
    """Catches a set or a list of all paths: 20,000 of them would take 4 MB."""
    tracemalloc.start()
    try:
        items = Listing()
        for item in in_order((Item(f"folder/{k:08}.wav") for k in range(20_000)), by=str):
            items.add(item)
        assert sum(1 for _ in zip(items, range(2_000), strict=False)) == 2_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    items.close()
    assert peak < 1e6


def test_paths_of_a_folder_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.wav").touch()
    assert [item.path for item in below(Path("."))] == ["a.wav"]
