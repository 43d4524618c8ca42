"""Data sets with one table or JSON file of labels: In-the-Wild, FakeAVCeleb, LAV-DF and AV-Deepfake1M.

Of video sets only the sound counts: a video whose face alone was changed is a genuine recording.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from audio.corpora.asvspoof import ENGLISH
from audio.corpora.corpus import Corpus, Count, Folder, Labelled
from audio.corpora.lines import SPLIT_NAMES, agreed, known, label_named, placed, spans_of
from audio.corpora.tables import cell_rows, table_rows
from audio.errors import ManifestError
from audio.labels import FAKE, REAL
from audio.manifest import Clip
from audio.segments import Segment, gaps


def _read_in_the_wild(folder: Folder) -> Iterator[Labelled]:
    path = folder.file("meta.csv")
    if path is None:
        return
    for where, row in table_rows(path):
        if not {"file", "speaker", "label"} <= row.keys():
            raise ManifestError(f"{path}:1: expected the columns file, speaker and label, received {', '.join(row)}")
        clip = placed(where, partial(_in_the_wild, row))
        yield folder.placed(clip, where, suffix=".wav", language=ENGLISH)


def _in_the_wild(row: Mapping[str, str]) -> Clip:
    return Clip(row["file"], label_named(row["label"]), speaker=row["speaker"])


# FakeAVCeleb

SOUND_OF: Mapping[str, str] = {
    "RealVideo-RealAudio": REAL,
    "FakeVideo-RealAudio": REAL,
    "RealVideo-FakeAudio": FAKE,
    "FakeVideo-FakeAudio": FAKE,
}
"""What the sound of each type of FakeAVCeleb is."""

_SEXES = {"men": "male", "women": "female"}


def _read_fakeavceleb(folder: Folder) -> Iterator[Labelled]:
    path = folder.file("meta_data.csv")
    if path is None:
        return
    rows = cell_rows(path)
    next(rows, None)  # the header names nine columns of ten: the last but one is the file, the last its folder
    for where, cells in rows:
        clip = placed(where, partial(_celebrity, cells))
        inside = PurePosixPath(clip.path)
        yield folder.placed(clip, where, below=str(inside.parent), suffix=".mp4", language=ENGLISH)


def _celebrity(cells: list[str]) -> Clip:
    if len(cells) < 9:
        raise ManifestError(f"expected source,target1,target2,method,category,type,race,gender,file,folder: {cells}")
    source, _, _, method, _, kind, race, sex, name = cells[:9]
    # "FakeAVCeleb/RealVideo-FakeAudio/...", where the first folder may be called otherwise on disk.
    inside = "/".join(cells[9].strip("/").split("/")[1:]) if len(cells) > 9 else ""
    if kind not in SOUND_OF:
        raise ManifestError(f"type: expected one of {', '.join(SOUND_OF)}, received {kind!r}")
    fake = SOUND_OF[kind] == FAKE
    return Clip(
        f"{inside or f'{kind}/{race}/{sex}/{source}'}/{name}",
        SOUND_OF[kind],
        speaker=source,
        # Khalid et al. 2021, arXiv 2108.05080: all voices were cloned with SV2TTS; `method` is about the face.
        generator="sv2tts" if fake else "",
        traits=known(type=kind, method=method, race=race, sex=_SEXES.get(sex, sex), kind="tts" if fake else ""),
    )


# LAV-DF and AV-Deepfake1M

Fact = TypeVar("Fact", str, bool, list[Any])


def _read_lav_df(folder: Folder) -> Iterator[Labelled]:
    path = folder.file("metadata.min.json", "metadata.json")
    for where, facts in _objects(path) if path else ():
        clip = placed(where, partial(_lav_df, facts))
        yield folder.placed(clip, where, below=_parent(clip.path), suffix=".mp4", language=ENGLISH)


def _lav_df(facts: Mapping[str, Any]) -> Clip:
    fake = _fact(facts, "modify_audio", kind=bool)
    segments = _with_gaps(_fact(facts, "fake_periods", kind=list), _length(facts)) if fake else ()
    return Clip(
        _fact(facts, "file", kind=str),
        agreed(FAKE if fake else REAL, segments),
        segments,
        split=_split(facts),
        traits=known(modify_video=str(facts.get("modify_video", "")).lower(), kind="tts" if fake else ""),
    )


def _read_av_deepfake(folder: Folder) -> Iterator[Labelled]:
    parts = ["train", "val", *(["test"] if folder.files("test_metadata.json") else [])]
    for part in parts:
        path = folder.file(f"{part}_metadata.json")
        for where, facts in _objects(path) if path else ():
            clip = placed(where, partial(_av_deepfake, facts, part))
            yield folder.placed(clip, where, below=f"{part}/{_parent(clip.path)}", suffix=".mp4", language=ENGLISH)


MODIFIED: Mapping[str, bool] = {
    "real": False,
    "visual_modified": False,
    "audio_modified": True,
    "both_modified": True,
}
"""Whether the sound of each `modify_type` of AV-Deepfake1M is changed."""


def _av_deepfake(facts: Mapping[str, Any], part: str) -> Clip:
    modified = _fact(facts, "modify_type", kind=str)
    if modified not in MODIFIED:
        raise ManifestError(f"modify_type: expected one of {', '.join(MODIFIED)}, received {modified!r}")
    fake = MODIFIED[modified]
    segments = _with_gaps(_fact(facts, "audio_fake_segments", kind=list), _length(facts)) if fake else ()
    return Clip(
        _fact(facts, "file", kind=str),
        agreed(FAKE if fake else REAL, segments),
        segments,
        speaker=_fact(facts, "file", kind=str).split("/")[0],
        generator=str(facts.get("audio_model") or "") if fake else "",
        split=SPLIT_NAMES[part],
        traits=known(modify_type=modified),
    )


def _length(facts: Mapping[str, Any]) -> int:
    """Return how many samples the sound has, at 16 kHz as in both sets, 0 if unknown; the picture may last longer."""
    n_samples = facts.get("audio_frames")
    return n_samples if isinstance(n_samples, int) else 0


def _with_gaps(periods: list[Any], n_samples: int) -> tuple[Segment, ...]:
    """Return fake spans with the genuine ones between them; without a length, none is known behind the last."""
    try:
        fake = spans_of((str(onset_s), str(offset_s), FAKE) for onset_s, offset_s in periods)
    except (TypeError, ValueError):
        raise ManifestError(f"spans: expected [[start, end], ...] in seconds, received {periods!r}") from None
    if not fake:
        raise ManifestError("spans: expected at least one in fake sound, received none")
    return tuple(sorted([*fake, *gaps(fake, max(fake[-1].offset, n_samples))]))


def _objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (`file: entry N`, object) of a JSON list; entries count from 1, as lines do."""
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: expected JSON: {error}") from None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ManifestError(f"{path}: expected a JSON list of objects")
    yield from ((f"{path}: entry {number}", item) for number, item in enumerate(items, 1))


def _fact(facts: Mapping[str, Any], name: str, *, kind: type[Fact]) -> Fact:
    if name not in facts:
        raise ManifestError(f"{name}: expected it, received only {', '.join(facts)}")
    value = facts[name]
    if not isinstance(value, kind):
        raise ManifestError(f"{name}: expected {kind.__name__}, received {value!r}")
    return value


def _split(facts: Mapping[str, Any]) -> str:
    split = SPLIT_NAMES.get(_fact(facts, "split", kind=str).lower())
    if split is None:
        raise ManifestError(f"split: expected train, dev or test, received {facts['split']!r}")
    return split


def _parent(path: str) -> str:
    parent = str(PurePosixPath(path).parent)
    return "" if parent == "." else parent


IN_THE_WILD = Corpus(
    name="in-the-wild",
    title="In-the-Wild",
    url="https://deepfake-total.com/in_the_wild",
    layout="release_in_the_wild/\n  meta.csv      (file,speaker,label)\n  0.wav, 1.wav, ...",
    read=_read_in_the_wild,
    counts=(Count(19_963, labels=(REAL,)), Count(11_816, labels=(FAKE,))),  # Mueller et al. 2022, arXiv 2203.16263
)

FAKE_AV_CELEB = Corpus(
    name="fakeavceleb",
    title="FakeAVCeleb (sound)",
    url="https://github.com/DASH-Lab/FakeAVCeleb",
    layout="""\
FakeAVCeleb_v1.2/
  meta_data.csv
  RealVideo-RealAudio/RACE/SEX/ID/*.mp4    FakeVideo-RealAudio/...    (genuine sound)
  RealVideo-FakeAudio/RACE/SEX/ID/*.mp4    FakeVideo-FakeAudio/...    (fake sound)""",
    read=_read_fakeavceleb,
    # Version 1.2, as people who list its files count it.
    counts=(
        Count(500, {"type": "RealVideo-RealAudio"}),
        Count(9_709, {"type": "FakeVideo-RealAudio"}),
        Count(500, {"type": "RealVideo-FakeAudio"}),
        Count(10_835, {"type": "FakeVideo-FakeAudio"}),
    ),
)

LAV_DF = Corpus(
    name="lav-df",
    title="LAV-DF (sound)",
    url="https://github.com/ControlNet/LAV-DF",
    layout="LAV-DF/\n  metadata.min.json      (or metadata.json)\n  train/*.mp4    dev/*.mp4    test/*.mp4",
    read=_read_lav_df,
    # Cai et al. 2022, arXiv 2204.06228.
    counts=(Count(78_703, {"split": "train"}), Count(31_501, {"split": "dev"}), Count(26_100, {"split": "test"})),
)

AV_DEEPFAKE_1M = Corpus(
    name="av-deepfake1m",
    title="AV-Deepfake1M (sound)",
    url="https://github.com/ControlNet/AV-Deepfake1M",
    layout="""\
FOLDER/
  train_metadata.json, val_metadata.json       (with audio_fake_segments; test_metadata.json where there is one)
  train/ID/VIDEO/CLIP/*.mp4    val/...""",
    read=_read_av_deepfake,
    # Cai et al. 2024, arXiv 2311.15308.
    counts=(
        Count(746_180, {"split": "train"}),
        Count(57_340, {"split": "dev"}),
        Count(343_240, {"split": "test"}, if_any=True),
    ),
)
