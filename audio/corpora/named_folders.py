"""Data sets in which the folder is the label: Fake-or-Real, WaveFake, DEEP-VOICE, MLAAD, and plain folders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from audio.corpora.asvspoof import ENGLISH
from audio.corpora.corpus import Corpus, Count, Folder, Labelled, without_suffix
from audio.corpora.lines import SPLIT_NAMES, known
from audio.corpora.tables import table_rows
from audio.errors import ManifestError
from audio.labels import FAKE, REAL
from audio.manifest import Clip, read_table, scan_folder

FOR_PARTS = ("training", "validation", "testing")
"""The parts of Fake-or-Real, as its folders are called."""


def _read_for(folder: Folder) -> Iterator[Labelled]:
    subsets = set()
    for path in folder.recordings:
        *above, part, label, _ = ["", *folder.parts(path)]
        if part.lower() in FOR_PARTS:
            subset = next((name for name in reversed(above) if name.startswith("for-")), "")
            subsets.add(subset)
            clip = _for_clip(folder, path, label=label, part=part, subset=subset)
            yield Labelled(clip, str(folder.root / path))
    if len(subsets) > 1:
        folder.notes.append(f"{', '.join(sorted(subsets))} hold the same recordings, processed differently: take one")


def _for_clip(folder: Folder, path: str, *, label: str, part: str, subset: str) -> Clip:
    if label.lower() not in (REAL, FAKE):
        raise ManifestError(f"{folder.root / path}: expected a folder real or fake, received {label}")
    split = SPLIT_NAMES[part.lower()]
    return Clip(path, label.lower(), split=split, language=ENGLISH, traits=known(subset=subset))


# WaveFake

_VOCODER = re.compile(r"(?P<voice>ljspeech|jsut)_(?P<generator>\w+)")
_TTS = re.compile(r"common_voices_prompts_from_(?P<generator>\w+)_(?P<voice>ljspeech)")
LANGUAGES: Mapping[str, str] = {"ljspeech": "en", "jsut": "ja"}
"""Language of the two voices of WaveFake."""


def _read_wavefake(folder: Folder) -> Iterator[Labelled]:
    for path in folder.recordings:
        made_by = _maker(folder, path)
        clip = _generated(folder, path, name=made_by) if made_by else _genuine_voice(path)
        if clip is not None:
            yield Labelled(clip, str(folder.root / path))


def _maker(folder: Folder, path: str) -> str:
    """Return the name of the folder that tells what made a recording, "" for a genuine one."""
    parents = folder.parts(path)[:-1]
    if "generated_audio" in parents[:-1]:
        return parents[parents.index("generated_audio") + 1]
    return next((name for name in parents if _VOCODER.fullmatch(name) or _TTS.fullmatch(name)), "")


def _generated(folder: Folder, path: str, *, name: str) -> Clip | None:
    """Return a fake clip; None for the second copies that the download has in an inner folder."""
    found = _VOCODER.fullmatch(name) or _TTS.fullmatch(name)
    if found is None:
        raise ManifestError(f"{folder.root / path}: expected ljspeech_*, jsut_* or common_voices_*, received {name}")
    parts = ["", *path.split("/")]
    if parts[-2] != name and "/".join([*parts[1:-2], parts[-1]]) in folder.recordings:
        return None
    kind = "vocoder" if found.re is _VOCODER else "tts"
    return Clip(
        path,
        FAKE,
        speaker=found["voice"],
        generator=found["generator"],
        language=LANGUAGES[found["voice"]],
        source_clip=_twin(folder, path) if kind == "vocoder" else "",
        traits={"kind": kind, "subset": name},
    )


def _twin(folder: Folder, path: str) -> str:
    """Return the genuine recording that a vocoder copied, `LJ001-0001.wav` for `LJ001-0001_gen.wav`, if it is there."""
    found = folder.recording(re.sub(r"_gen\w*$", "", without_suffix(path)), suffix=".wav")
    return found if found in folder.recordings and found != path else ""


def _genuine_voice(path: str) -> Clip | None:
    """Return a clip of the two genuine voices, None for any other recording."""
    name = without_suffix(path)
    if re.fullmatch(r"LJ\d{3}-\d{4}", name):
        return Clip(path, REAL, speaker="ljspeech", language="en")
    if re.fullmatch(r"BASIC5000_\d{4}", name):
        return Clip(path, REAL, speaker="jsut", language="ja")
    return None


# DEEP-VOICE


def _read_deep_voice(folder: Folder) -> Iterator[Labelled]:
    for path in folder.recordings:
        *above, label, name = ["", *folder.parts(path)]
        if above[-1].upper() == "AUDIO":
            yield Labelled(_converted(folder, path, label=label, name=without_suffix(name)), str(folder.root / path))


def _converted(folder: Folder, path: str, *, label: str, name: str) -> Clip:
    """Read `SPEAKER-original` below REAL and `SOURCE-to-VOICE` below FAKE."""
    if label.lower() not in (REAL, FAKE):
        raise ManifestError(f"{folder.root / path}: expected a folder REAL or FAKE, received {label}")
    if label.lower() == REAL:
        return Clip(path, REAL, speaker=name.lower().partition("-")[0], language=ENGLISH)
    source, _, voice = name.lower().partition("-to-")
    traits = known(kind="vc", source_speaker=source)
    # Bird and Lotfi 2023, arXiv 2308.12734: retrieval-based voice conversion.
    return Clip(path, FAKE, speaker=voice, generator="rvc", language=ENGLISH, traits=traits)


# MLAAD and M-AILABS

_BY_BOOK = re.compile(r"(?P<language>[a-z]{2})_[A-Z]{2}/by_book/(?P<sex>female|male|mix)/(?P<speaker>[^/]+)/")
"""How M-AILABS lays out its recordings."""


def _read_mlaad(folder: Folder) -> Iterator[Labelled]:
    tables = {path.rpartition("/")[0]: path for path in folder.files("meta.csv") if _model_folder(path)}
    for model, table in tables.items():
        yield from _with_table(folder.root / table, model)
    for path in folder.recordings:
        model = _model_folder(path)
        if model and model not in tables:
            yield Labelled(_synthetic(path), str(folder.root / path))
        elif not model and (found := _BY_BOOK.search(path)) is not None:
            yield Labelled(_read_aloud(path, found), str(folder.root / path))


def _model_folder(path: str) -> str:
    """Return `fake/LANGUAGE/MODEL` of a path right in it, else ""."""
    found = re.fullmatch(r"((?:.*/)?fake/[^/]+/[^/]+)/[^/]+", path)
    return found[1] if found else ""


def _with_table(table: Path, model: str) -> Iterator[Labelled]:
    for where, row in table_rows(table, "|"):
        # The paths there are relative to different folders in different versions.
        name = PurePosixPath(row.get("path", "")).name
        if not name:
            raise ManifestError(f"{where}: path: expected the name of a recording, received none")
        facts = {"architecture", "training_data", "reference_speaker"} & row.keys()
        traits = known(**{fact: row[fact] for fact in sorted(facts)})
        yield Labelled(_synthetic(f"{model}/{name}", text=row.get("transcript", ""), traits=traits), where)


def _synthetic(path: str, *, text: str = "", traits: Mapping[str, str] | None = None) -> Clip:
    language, generator, _ = path.split("/")[-3:]
    plain = language.partition("-")[0]
    return Clip(path, FAKE, generator=generator, language=plain, text=text, traits={"kind": "tts", **(traits or {})})


def _read_aloud(path: str, found: re.Match[str]) -> Clip:
    alone = found["sex"] != "mix"
    speaker, sex = (found["speaker"], found["sex"]) if alone else ("", "")
    return Clip(path, REAL, speaker=speaker, language=found["language"], traits=known(sex=sex))


# Plain folders and tables


def _read_folders(folder: Folder) -> Iterator[Labelled]:
    for clip in scan_folder(folder.root):
        yield Labelled(clip, str(folder.root / clip.path))


def _read_own_table(folder: Folder) -> Iterator[Labelled]:
    tables = [path for path in folder.others if "/" not in path and path.lower().endswith(".csv")]
    named = [path for path in tables if path == "manifest.csv"] or tables
    if len(named) != 1:
        received = " and ".join(named[:3]) or "none"
        raise ManifestError(f"{folder.root}: expected one table such as manifest.csv, received {received}")
    path: Path = folder.root / named[0]
    for clip in read_table(path):
        yield Labelled(clip, str(path))


FAKE_OR_REAL = Corpus(
    name="for",
    title="Fake-or-Real (FoR)",
    url="https://bil.eecs.yorku.ca/datasets/",
    layout="""\
FOLDER/
  for-norm/training/real/*.wav    for-norm/training/fake/*.wav    for-norm/validation/...    for-norm/testing/...
  (or for-original, for-2sec, for-rerec, or one of them by itself)""",
    read=_read_for,
)

WAVE_FAKE = Corpus(
    name="wavefake",
    title="WaveFake, with LJSpeech and JSUT",
    url="https://zenodo.org/records/5642694",
    layout="""\
FOLDER/
  generated_audio/ljspeech_melgan/*.wav, ljspeech_hifiGAN/*.wav, jsut_parallel_wavegan/*.wav, ...
  LJSpeech-1.1/wavs/LJ*.wav                     (its genuine side)
  jsut_ver1.1/basic5000/wav/BASIC5000_*.wav     (its genuine side)""",
    read=_read_wavefake,
    # Frank and Schoenherr 2021, arXiv 2111.02813: each vocoder copied LJSpeech (13,100) or JSUT's basic5000 (5,000).
    # How many clips the TTS folder has differs between sources, so it is not counted.
    counts=(
        *(
            Count(13_100, {"subset": f"ljspeech_{name}"}, if_any=True)
            for name in ("melgan", "melgan_large", "multi_band_melgan", "full_band_melgan", "parallel_wavegan")
        ),
        *(Count(13_100, {"subset": f"ljspeech_{name}"}, if_any=True) for name in ("waveglow", "hifiGAN")),
        *(Count(5_000, {"subset": f"jsut_{name}"}, if_any=True) for name in ("multi_band_melgan", "parallel_wavegan")),
        Count(13_100, {"speaker": "ljspeech"}, labels=(REAL,), if_any=True),
        Count(5_000, {"speaker": "jsut"}, labels=(REAL,), if_any=True),
    ),
)

DEEP_VOICE = Corpus(
    name="deep-voice",
    title="DEEP-VOICE",
    url="https://www.kaggle.com/datasets/birdy654/deep-voice-deepfake-voice-recognition",
    layout="""\
KAGGLE/AUDIO/
  REAL/biden-original.wav, ...
  FAKE/biden-to-linus.wav, ...""",
    read=_read_deep_voice,
    counts=(Count(8, labels=(REAL,)), Count(56, labels=(FAKE,))),  # Bird and Lotfi 2023: 8 people, each as the 7 others
)

MLAAD = Corpus(
    name="mlaad",
    title="MLAAD, with M-AILABS",
    url="https://deepfake-total.com/mlaad",
    layout="""\
FOLDER/
  fake/LANGUAGE/MODEL/*.wav, meta.csv                               (meta.csv may be missing)
  LANGUAGE_REGION/by_book/SEX/SPEAKER/BOOK/wavs/*.wav               (M-AILABS, its genuine side)""",
    read=_read_mlaad,
)

FOLDERS = Corpus(
    name="folders",
    title="plain folders",
    url="any recordings of your own",
    layout="FOLDER/real/**, FOLDER/fake/**, FOLDER/hybrid/**",
    read=_read_folders,
)

TABLE = Corpus(
    name="table",
    title="a table",
    url="any recordings of your own",
    layout="""\
FOLDER/manifest.csv      (columns path and label; speaker, generator, language, split, segments ... if known)
FOLDER/...               (the recordings, at the paths in the table)""",
    read=_read_own_table,
)
