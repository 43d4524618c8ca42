"""The bench of shards: what it compares learns from the same batches, and its ratios are of its own figures."""

from __future__ import annotations

import argparse

import numpy as np

from audio.sharding import write_shards
from bench import shards
from bench.shards import InMemory, write_set
from model.features import FeatureConfig
from model.training.examples import Batches, Window, read_set


def test_all_feeds_give_the_same_batches(tmp_path):
    """Catches a bench that trains on less from memory than from shards."""
    write_set(tmp_path / "files", 18, 1)
    write_shards(tmp_path / "files", tmp_path / "shards", shard_bytes=400_000)
    files, sharded = (read_set(tmp_path / name, seed=1) for name in ("files", "shards"))
    held = InMemory(files.manifest_path, files.clips, files.has_spans)
    made = [Batches(each.split("train"), Window(16_000, FeatureConfig()), 4, 1) for each in (held, files, sharded)]
    assert made[0].steps_per_pass == 4
    for step in range(5):
        for one, two, three in zip(*(each.batch(step) for each in made), strict=True):
            np.testing.assert_array_equal(one, two)
            np.testing.assert_array_equal(one, three)


def test_the_set_is_made_of_its_seed(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_set(tmp_path / name, 3, seed)
    a, b, c = ((tmp_path / name / "fake" / "00001.wav").read_bytes() for name in "abc")
    assert a == b != c


def test_ratios_are_of_medians(capsys):
    """Catches a ratio of the best turn of one to the worst of another."""
    options = argparse.Namespace(clips=9, batch_size=4, seed=1, network="cnn", augmentation="default", turns=3, steps=2)
    rates = {"batches": [4.0, 5.0, 9.0], "samples": [4.0, 4.0, 4.0], "files": [1.0, 3.0, 3.0], "shards": [4.5]}
    shards._print({name: [(1 / rate, 0.5) for rate in each] for name, each in rates.items()}, options)
    rows = [line.split("|")[2:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert rows[0][0].strip() == "5.00 (4.00 to 9.00)"
    assert [float(cell) for row in rows for cell in row[1:3]] == [1, 1.25, 0.8, 1, 0.6, 0.75, 0.9, 1.12]
