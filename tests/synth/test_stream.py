"""Endless examples: pure functions of their number, of the training split only, the same in any process."""

from __future__ import annotations

import os
import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from audio.errors import ToolkitError, UsageError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.reading import write_wav
from audio.segments import total
from synth.making import Folders
from synth.recipe import Recipe
from synth.stream import Batches, Example, Stream, open_stream

RECIPE = Recipe(12, 5, engines=("lpc",), held_out=(), dev_speakers=("ada",), test_speakers=("bén",), channel=False)


@pytest.fixture(scope="module")
def stream(voices_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Stream:
    return open_stream(RECIPE, Folders(voices_dir, cache=tmp_path_factory.mktemp("cache")))


def same(first: list[Example], second: list[Example]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a.samples, b.samples) and (a.label, a.segments) == (b.label, b.segments)
        for a, b in zip(first, second, strict=True)
    )


def test_examples_are_what_they_say(stream: Stream) -> None:
    examples = list(islice(stream, 12))
    assert [example.label for example in examples] == [*LABELS] * 4
    for example in examples:
        assert example.samples.dtype == np.float32
        share = total(example.segments) / example.samples.size
        assert share == 0 if example.label == REAL else share == 1 if example.label == FAKE else 0 < share < 1
    assert len({example.samples.tobytes() for example in examples}) == 12


def test_an_example_depends_on_its_number_alone(stream: Stream) -> None:
    """Catches randomness that runs on: a resumed training would hear something else."""
    first = stream.examples(range(6))
    assert same(stream.examples([4, 1]), [first[4], first[1]])
    assert same(pickle.loads(pickle.dumps(stream)).examples([5]), [first[5]])


def test_only_training_speakers_are_heard(stream: Stream) -> None:
    plans = [stream.planner.plan(2**32 + k, split="train", place=k) for k in range(60)]
    assert {plan.speaker for plan in plans} == {"cleo", "dan"}
    assert {take.path.split("/")[0] for plan in plans for take in plan.takes} == {"cleo", "dan"}


def test_batches_made_by_processes_are_the_same(stream: Stream) -> None:
    """Catches batches that depend on who makes them, or on the order in which they are asked for."""
    with Batches(stream, 3, workers=2) as batches:
        found = {k: batches.batch(k) for k in (0, 1, 5, 2)}
    for k, examples in found.items():
        assert same(examples, stream.examples(range(3 * k, 3 * k + 3)))
    assert {example.label for example in found[5]} == {REAL, FAKE, HYBRID}


def test_a_process_that_dies_is_told(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    with Batches(stream, 3) as batches:
        monkeypatch.setattr("synth.stream._make", _die)
        with pytest.raises(ToolkitError, match="a process that makes examples died"):
            batches.batch(0)


def _die(_: range) -> None:
    os._exit(1)


def test_recordings_without_speech_end_the_stream(tmp_path: Path) -> None:
    """Catches an endless search."""
    for speaker in ("ada", "bén", "cleo"):
        write_wav(tmp_path / "real" / speaker / "hush.wav", np.zeros(64_000, dtype=np.int16))
    silent = open_stream(RECIPE, Folders(tmp_path / "real", cache=tmp_path / "cache"))
    with pytest.raises(ToolkitError, match=r"no example could be made in 8 attempts: .*too little speech"):
        next(iter(silent))


@pytest.mark.parametrize(("size", "workers"), [(0, 1), (3, 0)])
def test_nothing_to_make_or_nobody_to_make_it(stream: Stream, size: int, workers: int) -> None:
    with pytest.raises(UsageError, match="expected at least 1 each"):
        Batches(stream, size, workers=workers)
