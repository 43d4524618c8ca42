"""What the shipped weights may learn from: rows by licence and split, and the prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.pretraining.gather import gather, origins
from audio.errors import ManifestError
from audio.manifest import Clip, read_manifest, write_manifest
from audio.reading import read, write_wav

ROWS = """\
path,label,generator,speaker,split,ship,licence,origin,source_clip
a.wav,real,,ada,train,yes,CC BY 4.0,one,
b.wav,fake,hifigan,ada,train,unstated,none,two,a.wav
c.wav,fake,world,ben,train,yes,MIT,three,
d.wav,real,,cleo,dev,no,CC BY-NC 4.0,four,
e.wav,fake,lyra,dan,test,unstated,none,five,
f.wav,real,,eve,extra,no,none,six,
"""


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    corpus, prompts = tmp_path / "corpus", tmp_path / "prompts"
    for k, name in enumerate("abcdef"):
        write_wav(corpus / f"{name}.wav", np.full(1_600 * (k + 1), 0.1, np.float32))
    (corpus / "manifest.csv").write_text(ROWS)
    write_wav(prompts / "june" / "x.wav", np.full(800, 0.2, np.float32))
    write_manifest(prompts / "manifest.jsonl", [Clip("june/x.wav", "real", speaker="june", codec="g722")])
    return corpus, prompts


def test_training_takes_what_may_ship_and_dev_and_test_everything(places, tmp_path):
    clips = gather(*places, tmp_path / "voices")
    assert {clip.path: clip.split for clip in clips} == {
        **{"a.wav": "train", "c.wav": "train", "prompts/june/x.wav": "train"},
        **{"d.wav": "dev", "e.wav": "test"},
    }
    assert read_manifest(tmp_path / "voices" / "manifest.jsonl") == clips
    assert all(len(read(tmp_path / "voices" / clip.path)) for clip in clips)
    assert next(clip for clip in clips if clip.path.startswith("prompts")).codec == "g722"


def test_an_experiment_may_add_rows_of_unstated_licence(places, tmp_path):
    clips = gather(*places, tmp_path / "voices", ships=("yes", "unstated"))
    assert {clip.path for clip in clips if clip.split == "train"} == {"a.wav", "b.wav", "c.wav", "prompts/june/x.wav"}


def test_twice_is_once_and_nothing_of_the_corpus_changes(places, tmp_path):
    before = {path: path.read_bytes() for path in places[0].iterdir()}
    first, second = (gather(*places, tmp_path / "voices") for _ in range(2))
    assert first == second
    assert {path: path.read_bytes() for path in places[0].iterdir()} == before


def test_nothing_to_train_on_or_a_missing_recording_is_told(places, tmp_path):
    with pytest.raises(ManifestError, match="expected training rows with ship = maybe"):
        gather(*places, tmp_path / "voices", ships=("maybe",))
    (places[0] / "c.wav").unlink()
    with pytest.raises(ManifestError, match=r"c\.wav"):
        gather(*places, tmp_path / "voices")


def test_origins_are_summed_up_real_ones_first(places, tmp_path):
    clips = gather(*places, tmp_path / "voices", ships=("yes", "unstated"))
    found = origins(clips, [10.0 * (k + 1) for k in range(len(clips))])
    assert [(row.name, row.label, row.clips) for row in found] == [
        ("Debian asterisk-core-sounds", "real", 1),
        ("one", "real", 1),
        ("three", "fake", 1),
        ("two", "fake", 1),
    ]
    assert sum(row.seconds for row in found) == 10 + 20 + 30 + 60
