"""The sets that the model card judges, each from recordings of one split: rows as they are, and hybrids built of them.

    rows       the split's rows of the corpus: real and fake throughout
    hybrids    spliced of these rows alone, without a channel (`hybrids.toml`)
    channel    the same splices through the random channel
    partial    other people's partial fakes: a development set
    extra      rows that may be evaluated on and nothing else
    corpora    genuine rows by where they come from: which of them training never met

What is built lies in a folder that is named after everything that decides it: the rows used, the recipe, ffmpeg and the
code that splices. So nothing old is taken for new, and a second run builds nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from apps.pretraining.gather import MAY_SHIP, ORIGIN, SHIP, TEST, TRAIN, gather
from apps.stress import CORRUPTIONS, Stress
from audio.digest import file_sha256
from audio.errors import ManifestError, UsageError
from audio.ffmpeg import ffmpeg_version, find_ffmpeg
from audio.labels import REAL
from audio.manifest import Clip, read_set, resolve
from audio.segments import SAMPLE_RATE
from model.evaluation.scoring import Alteration
from synth.build import build_set
from synth.codecs import Coding, pass_codecs
from synth.making import Folders
from synth.order import order_from, read_order
from synth.recipe import Recipe

RECIPE = Path(__file__).with_name("hybrids.toml")
"""What the hybrids are made by."""

PARTIAL = "partial_manifest.csv"
"""Other people's partial fakes, in the folder of the corpus."""

NOT_FOR_TRAINING = "no"
"""What `ship` says of rows whose licence forbids derived works."""

STRESS_SEED = 0
"""What the noises of the corruptions are drawn from: as in `script.py evaluate --stress`."""

CODE_OF_SPLICING = ("audio", "synth")
CODE_OF_JUDGING = ("audio", "model/judging", "model/features.py", "model/bundle.py")
"""What decides the bytes of a built set, and what is said of a recording."""

ROOT = Path(__file__).parents[2]
"""Folder of the project's rooms."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Exam:
    """Clips that figures are computed over, and where they lie."""

    name: str
    """In figures.json."""
    words: str
    """For people."""
    place: Path
    """What `audio.manifest.resolve` wants beside a clip."""
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Corpus:
    """Genuine clips of one origin, of one split."""

    name: str
    split: str
    unseen: bool
    """Whether training met no genuine clip of this origin, and none of these speakers."""
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Exams:
    """Everything that one card judges, and the hashes by which it is known."""

    split: str
    rows: Exam
    hybrids: Exam
    channel: Exam
    partial: Exam
    extra: Exam
    corpora: tuple[Corpus, ...]
    """In the place of `rows`."""
    recipe: Recipe
    familiar: int
    """Fake rows with a voice that training heard too."""
    sha256: Mapping[str, str]
    """Of the rows used (`corpus`) and of what was built (`hybrids`, `channel`)."""

    @property
    def all(self) -> tuple[Exam, ...]:
        """The sets, in the order of the card."""
        return (self.rows, self.hybrids, self.channel, self.partial, self.extra)


def collect(corpus: Path, voices: Path, *, work: Path, split: str = TEST, workers: int = 1) -> Exams:
    """Choose what is judged, and build what is not there yet.

    Parameters
    ----------
    corpus
        Folder with `manifest.csv` (columns split, ship and origin) and `partial_manifest.csv`.
    voices
        Folder of `synth.prompts.fetch_prompts`.
    work
        Where sets are built, each in a folder of its own.
    split
        "test", or "dev" for a look before: then no test row is judged.
    workers
        Processes that build.

    Raises
    ------
    ManifestError
        When the corpus is not what it should be, or a built set holds anything that training knows.
    ToolkitError
        When building fails.
    """
    place, everything = read_set(corpus)
    _, partial = read_set(corpus / PARTIAL)
    rows = [row for row in everything if row.split == split]
    if not rows:
        raise ManifestError(f"{place}: expected rows of the split {split}, found none")
    extra = [row for row in everything if not row.split and row.traits.get(SHIP) == NOT_FOR_TRAINING]
    corpora = genuine_corpora(everything, splits=("dev",) if split != TEST else ("dev", TEST))
    used = [*rows, *extra, *partial, *(clip for found in corpora for clip in found.clips)]
    corpus_sha256 = clips_sha256(corpus, used)
    root = work / f"sets-{split}-{_key(corpus_sha256)}"
    gather(corpus, voices, root / "corpus")
    recipe = hybrid_recipe(root / "corpus", cache=work / "cache")
    built = {
        name: _build(replace(recipe, channel=name == "channel"), root / name, work / "cache", split, workers)
        for name in ("hybrids", "channel")
    }
    for clips in built.values():
        check_apart(clips, everything, split=split)
    trained = {row.speaker for row in everything if row.split == TRAIN and row.speaker}
    made = {name: tuple(_below(name, clips)) for name, clips in built.items()}
    return Exams(
        split=split,
        rows=Exam("rows", f"{split} rows of the corpus", root, tuple(_below("corpus", rows))),
        hybrids=Exam("hybrids", f"hybrids built from {split} rows", root, made["hybrids"]),
        channel=Exam("channel", "the same through a random channel", root, made["channel"]),
        partial=Exam("partial", "other people's partial fakes (development set)", corpus, tuple(partial)),
        extra=Exam("extra", "extra rows (ship = no)", corpus, tuple(extra)),
        corpora=tuple(replace(found, clips=tuple(_below("corpus", found.clips))) for found in corpora),
        recipe=recipe,
        familiar=sum(row.label != REAL and row.speaker in trained for row in rows),
        sha256={"corpus": corpus_sha256, **{name: clips_sha256(root, clips) for name, clips in made.items()}},
    )


def _below(folder: str, clips: Iterable[Clip]) -> list[Clip]:
    return [replace(clip, path=f"{folder}/{clip.path}") for clip in clips]


def hybrid_recipe(folder: Path, *, cache: Path) -> Recipe:
    """Read the recipe of the hybrids; `folder` holds what is spliced."""
    return order_from({**read_order(RECIPE), "real": folder, "fake": folder, "cache": cache}).recipe


def _build(recipe: Recipe, out: Path, cache: Path, split: str, workers: int) -> list[Clip]:
    recordings = out.with_name("corpus")
    return build_set(recipe, Folders(recordings, recordings, cache=cache), out=out, workers=workers, splits=(split,))


def _key(corpus_sha256: str) -> str:
    decides = (corpus_sha256, file_sha256(RECIPE), code_sha256(*CODE_OF_SPLICING), ffmpeg_version(find_ffmpeg()))
    return hashlib.sha256("\n".join(decides).encode()).hexdigest()[:12]


def code_sha256(*rooms: str) -> str:
    """Return the SHA-256 over the sorted paths and contents of the Python files of rooms, in hex."""
    places = [ROOT / room for room in rooms]
    files = {path for place in places for path in (place.rglob("*.py") if place.is_dir() else (place,))}
    lines = sorted(f"{path.relative_to(ROOT).as_posix()} {file_sha256(path)}" for path in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def clips_sha256(place: Path, clips: Iterable[Clip]) -> str:
    """Return the SHA-256, in hex, over sorted lines of path, hash of the recording, and hash of what is said of it.

    Raises
    ------
    AudioError
        When a recording cannot be read.
    """
    lines = {f"{clip.path} {file_sha256(resolve(place, clip))} {_told_sha256(clip)}" for clip in clips}
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _told_sha256(clip: Clip) -> str:
    plans = ("path", "splice", "channel", "sources")
    facts = {name: value for name, value in asdict(clip).items() if name not in plans}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def genuine_corpora(rows: Sequence[Clip], *, splits: Sequence[str]) -> list[Corpus]:
    """Sort the genuine rows of some splits by origin, and say what training never met.

    A corpus is unseen when no genuine row that the shipped weights may train on has its origin; a row of it whose
    speaker is among those that training hears counts apart, as seen.

    Parameters
    ----------
    rows
        All rows, those of training included.
    splits
        Whose genuine rows are wanted.
    """
    trained = [row for row in rows if row.split == TRAIN and row.traits.get(SHIP) in MAY_SHIP]
    origins = {row.traits.get(ORIGIN, "") for row in trained if row.label == REAL}
    speakers = {row.speaker for row in trained} - {""}
    found: dict[tuple[str, str, bool], list[Clip]] = {}
    for row in rows:
        if row.label == REAL and row.split in splits:
            origin = row.traits.get(ORIGIN, "")
            unseen = origin not in origins and row.speaker not in speakers
            found.setdefault((origin, row.split, unseen), []).append(row)
    return [Corpus(*key, clips=tuple(clips)) for key, clips in sorted(found.items())]


def check_apart(clips: Sequence[Clip], rows: Sequence[Clip], *, split: str) -> None:
    """Refuse a built set in which anything was heard before.

    Parameters
    ----------
    clips
        The built clips, with their sources.
    rows
        All rows of the corpus.
    split
        The one that they were to be built of.

    Raises
    ------
    ManifestError
        When a source is no row of the split, a generator is in a row of another one, or, in test, a genuine speaker
        is. Dev shares one voice with training, LJSpeech's, which half of all demo pages use.
    """
    own = {row.path: row for row in rows if row.split == split}
    others = [row for row in rows if row.split not in (split, "")]
    generators = {row.generator for row in others} - {""}
    speakers = {row.speaker for row in others} - {""} if split == TEST else set()
    for clip in clips:
        paths = [source["path"] for source in clip.sources]
        if strange := [path for path in paths if path not in own]:
            raise ManifestError(f"{clip.path}: expected sources of the split {split}, found {strange[0]}")
        known = [own[path] for path in paths]
        if met := [row.speaker for row in known if row.label == REAL and row.speaker in speakers]:
            raise ManifestError(f"{clip.path}: expected speakers of no other split than {split}, found {met[0]}")
        if met := [row.generator for row in known if row.generator in generators]:
            raise ManifestError(f"{clip.path}: expected generators of no other split than {split}, found {met[0]}")


def has_joins(clip: Clip) -> bool:
    """Whether a built clip was spliced at all."""
    return clip.splice is not None and len(clip.splice["pieces"]) > 1


# What is done to recordings before they are judged again


@dataclass(frozen=True)
class Coded:
    """A codec at one bitrate; nothing moves. Pickles."""

    codec: str
    kbps: float

    def __call__(self, recordings: Sequence[tuple[Samples, Clip]]) -> list[tuple[Samples, Clip]]:
        """Code and decode recordings, each float32 (n,) at 16 kHz with its clip."""
        coded = pass_codecs([samples for samples, _ in recordings], [Coding(self.codec, self.kbps)] * len(recordings))
        return [(samples, clip) for samples, (_, clip) in zip(coded, recordings, strict=True)]


@dataclass(frozen=True)
class Sped:
    """Genuine recordings at another speed, pitch and all. Pickles.

    Raises
    ------
    UsageError
        When called with a clip that has anything fake in it: spans would have to move.
    """

    speed: Fraction

    def __call__(self, recordings: Sequence[tuple[Samples, Clip]]) -> list[tuple[Samples, Clip]]:
        """Resample recordings, each float32 (n,) at 16 kHz with its clip."""
        if fake := [clip.path for _, clip in recordings if clip.label != REAL]:
            raise UsageError(f"speed: expected genuine clips only, received {fake[0]}")
        ratio = (SAMPLE_RATE * self.speed.numerator, SAMPLE_RATE * self.speed.denominator)
        return [(_resampled(samples, ratio), replace(clip, n_samples=0)) for samples, clip in recordings]


def _resampled(samples: Samples, rates: tuple[int, int]) -> Samples:
    if samples.size == 0:
        return samples
    return np.asarray(soxr.resample(samples, *rates, quality="HQ"), dtype=np.float32)


@dataclass(frozen=True)
class Treatment:
    """One thing that happens to recordings and leaves genuine speech genuine."""

    name: str
    words: str
    alter: Alteration
    genuine_only: bool = False


def treatments() -> list[Treatment]:
    """Return what is done to recordings: the corruptions of `apps.stress`, and what the targets name beside them."""
    shared = [Treatment(name, found.words, Stress(name, STRESS_SEED)) for name, found in CORRUPTIONS.items()]
    own = [
        Treatment("opus_24k", "Opus at 24 kbit/s", Coded("opus", 24)),
        Treatment("speed_0.9", "10 % slower, and lower", Sped(Fraction(9, 10)), genuine_only=True),
        Treatment("speed_1.1", "10 % faster, and higher", Sped(Fraction(11, 10)), genuine_only=True),
    ]
    return [*shared, *own]


def facts_of(exam: Exam) -> dict[str, Any]:
    """Return what a set holds, as what JSON can hold: clips by class, and speakers."""
    labels = [clip.label for clip in exam.clips]
    speakers = {clip.speaker for clip in exam.clips} - {""}
    counts = {label: labels.count(label) for label in ("real", "fake", "hybrid")}
    return {"name": exam.name, "words": exam.words, "clips": counts, "speakers": len(speakers)}
