"""The label files of the field: each form turns one line into a `Clip` whose path is the id written there.

A line knows nothing of files on disk; readers of whole data sets and `audio.corpora.keys` share what is here. Where
bona fide and spoof are written as bare 0 and 1 the two conventions of the field contradict each other, so only words
are taken for labels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from audio.errors import ManifestError, SegmentError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip
from audio.segments import SAMPLE_RATE, Segment

WORDS: Mapping[str, str] = {
    **{label: label for label in LABELS},
    **dict.fromkeys(("bonafide", "bona-fide", "genuine"), REAL),
    **dict.fromkeys(("spoof", "spoofed"), FAKE),
}
"""What the field calls our labels, in lower case."""

SPLIT_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "development", "valid", "validation", "val"), "dev"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
    "test_unseen": "test_unseen",
}
"""What the field calls our splits, in lower case."""

NOTHING = ("", "-", "nan")
"""What stands in a column that says nothing."""

ROUNDING_SAMPLES = SAMPLE_RATE // 1000
"""Neighbouring spans may overlap by 1 ms: published times are rounded, each on its own."""

MOST_SAMPLES = 10**6 * SAMPLE_RATE
"""Times beyond a million seconds are a broken file, not a recording."""


@dataclass(frozen=True, kw_only=True)
class LineForm:
    """One way to write a label line.

    `fits` tells from the cells of a first line whether a file is written this way; `parse` turns cells into a clip and
    raises `ManifestError` or `SegmentError`, without the place, which the caller knows.
    """

    kind: str
    """Its name, for people."""
    columns: str
    """What stands in a line, for people."""
    fits: Callable[[Sequence[str]], bool]
    parse: Callable[[Sequence[str]], Clip]


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text without the line's end) of the lines of a file that are not blank.

    Raises
    ------
    ManifestError
        When the file cannot be read or is not UTF-8.
    """
    try:
        # utf-8-sig: editors on Windows put a byte order mark in front.
        with path.open(encoding="utf-8-sig") as file:
            yield from ((number, line.rstrip("\r\n")) for number, line in enumerate(file, 1) if line.strip())
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: expected text in UTF-8") from None


def labelled_lines(path: Path, parse: Callable[[Sequence[str]], Clip]) -> Iterator[tuple[str, Clip]]:
    """Yield (`file:line`, clip) of the lines of a file, cut at white space.

    Raises
    ------
    ManifestError
        Naming file and line, for a line that `parse` refuses.
    """
    for number, line in text_lines(path):
        where = f"{path}:{number}"
        yield where, placed(where, partial(parse, line.split()))


def placed(where: str, make: Callable[[], Clip]) -> Clip:
    """Make a clip, and put `where` in front of what is wrong with it, as a `ManifestError`."""
    try:
        return make()
    except (ManifestError, SegmentError) as error:
        raise ManifestError(f"{where}: {error}") from None


def label_named(word: str) -> str:
    """Return our label for a word of the field; raise `ManifestError` for one that means nothing to us."""
    label = WORDS.get(word.lower())
    if label is None:
        raise ManifestError(f"label: expected one of {', '.join(WORDS)}, received {word!r}")
    return label


def is_label(word: str) -> bool:
    """Tell whether a word is one of `WORDS`, in any case."""
    return word.lower() in WORDS


def known(**traits: str) -> dict[str, str]:
    """Return the traits that say something."""
    return {name: value for name, value in traits.items() if value.lower() not in NOTHING}


def something(cell: str, *nothing: str) -> str:
    """Return a cell, or "" when it is one of `NOTHING` or `nothing`."""
    return "" if cell.lower() in (*NOTHING, *nothing) else cell


def label_of_spans(segments: Iterable[Segment]) -> str | None:
    """Name a recording by its labelled spans: real, fake, or hybrid when it has both; None without any.

    This is the data sets' own meaning, and not `audio.labels.label_of`, for which 90 % of fake speech is enough: a
    published label stays what it was published as.
    """
    kinds = {segment.label for segment in segments}
    return HYBRID if len(kinds) > 1 else kinds.pop() if kinds else None


def to_samples(seconds: str) -> int:
    """Turn seconds, as text, into samples at 16 kHz; raise `ManifestError` for what is no time in a recording."""
    try:
        samples = float(seconds) * SAMPLE_RATE
    except ValueError:
        samples = math.nan
    if not 0 <= samples <= MOST_SAMPLES:
        raise ManifestError(f"time: expected seconds, 0 or more, received {seconds!r}")
    return round(samples)


def spans_of(items: Iterable[tuple[str, str, str]]) -> tuple[Segment, ...]:
    """Turn (onset in seconds, offset in seconds, label) into segments, sorted; neighbours of one label become one.

    Spans of no length vanish: published files have some where a boundary was rounded.

    Raises
    ------
    ManifestError
        For a span that ends before it starts, or one that overlaps another of the other label.
    """
    ends = [(to_samples(onset_s), to_samples(offset_s), label) for onset_s, offset_s, label in items]
    for onset, offset, _ in ends:
        if offset < onset:
            raise ManifestError(f"span: expected to end after it starts, received samples {onset} to {offset}")
    return joined(Segment(onset, offset, label) for onset, offset, label in ends if onset < offset)


def joined(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Sort segments and merge neighbours of one label; the later of two labels gives way by `ROUNDING_SAMPLES`.

    Raises
    ------
    ManifestError
        When both labels claim more than that.
    """
    merged: list[Segment] = []
    for segment in sorted(segments):
        last = merged[-1] if merged else Segment(0, 1)
        if merged and segment.onset <= last.offset and segment.label == last.label:
            merged[-1] = replace(last, offset=max(last.offset, segment.offset))
        elif merged and segment.onset < last.offset:
            merged += _after(segment, last.offset)
        else:
            merged.append(segment)
    return tuple(merged)


def _after(segment: Segment, onset: int) -> list[Segment]:
    """Let a segment begin at `onset`; nothing may be left of it."""
    if min(onset, segment.offset) - segment.onset > ROUNDING_SAMPLES:
        raise ManifestError(f"span: expected one label for samples {segment.onset} to {onset}, received two")
    return [replace(segment, onset=onset)] if onset < segment.offset else []


def agreed(label: str, segments: Sequence[Segment]) -> str:
    """Return the label of a recording from its published label, real or fake, and its spans.

    Raises
    ------
    ManifestError
        When they contradict each other: a real one with fake spans, a fake one with none.
    """
    found = label_of_spans(segments) or label
    if (found == REAL) != (label == REAL):
        raise ManifestError(f"label: expected {label} to agree with its spans, received spans that say {found}")
    return found


# ASVspoof


def _asvspoof_2019(cells: Sequence[str]) -> Clip:
    speaker, name, environment, attack, key = _counted(cells, 5)
    return Clip(
        name,
        label_named(key),
        speaker=_speaker(speaker, name),
        generator=something(attack, "bonafide"),
        traits=known(environment=environment),
    )


def _asvspoof_2021_la(cells: Sequence[str]) -> Clip:
    speaker, name, codec, transmission, attack, key, trim, phase = _counted(cells, 8)
    return Clip(
        name,
        label_named(key),
        speaker=_speaker(speaker, name),
        generator=something(attack, "bonafide"),
        codec=something(codec, "none", "nocodec"),
        traits=known(transmission=transmission, trim=trim, phase=phase),
    )


VCC_LANGUAGES: Mapping[str, str] = {"E": "en", "F": "fi", "G": "de", "M": "zh"}
"""The letters of the Voice Conversion Challenge 2020 (English, Finnish, German, Mandarin) in the last DF column."""


def _asvspoof_2021_df(cells: Sequence[str]) -> Clip:
    speaker, name, codec, source, attack, key, trim, phase, vocoder, *vcc = _counted(cells, 13)
    task, team, sexes, letter = vcc
    return Clip(
        name,
        label_named(key),
        speaker=_speaker(speaker, name),
        generator=something(attack, "bonafide"),
        codec=something(codec, "none", "nocodec"),
        language=VCC_LANGUAGES.get(letter, ""),
        traits=known(source=source, trim=trim, phase=phase, vocoder=something(vocoder, "unknown", "bonafide"))
        | known(task=task, team=team, sexes=sexes),
    )


def _asvspoof_5(cells: Sequence[str]) -> Clip:
    speaker, name, sex, codec, quality, codec_seed, attack_tag, attack, key, _ = _counted(cells, 10)
    return Clip(
        name,
        label_named(key),
        speaker=_speaker(speaker, name),
        generator=something(attack, "bonafide"),
        codec=something(codec),
        traits=known(sex=SEXES.get(sex, sex), codec_quality=quality, codec_seed=codec_seed, attack_tag=attack_tag),
    )


SEXES: Mapping[str, str] = {"F": "female", "M": "male"}
"""The letters of ASVspoof 5 in words."""


def _speaker(cell: str, name: str) -> str:
    """Return the speaker; files in the style of 2021 DF repeat the id there when they know none."""
    return something(cell, name.lower())


def _counted(cells: Sequence[str], n_cells: int) -> Sequence[str]:
    if len(cells) != n_cells:
        raise ManifestError(f"expected {n_cells} columns, received {len(cells)}: {' '.join(cells)[:80]!r}")
    return cells


def _label_at(n_cells: int, column: int) -> Callable[[Sequence[str]], bool]:
    """Make a `fits`: that many cells, with a word for a label in that column."""
    return lambda cells: len(cells) == n_cells and is_label(cells[column])


# Partial spoofs

_TIME = r"\d+(?:\.\d*)?(?:e[+-]?\d+)?"
_SPAN = re.compile(rf"({_TIME})-({_TIME})-([A-Za-z-]+)")
"""`onset-offset-label`, in seconds."""


def _spans_line(cells: Sequence[str]) -> Clip:
    if len(cells) < 3:
        raise ManifestError(f"expected name, duration, label and spans, received {' '.join(cells)[:80]!r}")
    name, duration_s, key, *items = cells
    segments = spans_of((onset_s, offset_s, _class_named(word)) for onset_s, offset_s, word in map(_span, items))
    # Duration and last span are rounded apart, so the later one is the end.
    end = max((segment.offset for segment in segments), default=0)
    return Clip(name, agreed(label_named(key), segments), segments, n_samples=max(to_samples(duration_s), end))


def _fits_spans_line(cells: Sequence[str]) -> bool:
    timed = len(cells) >= 3 and re.fullmatch(_TIME, cells[1]) is not None and is_label(cells[2])
    return timed and all(map(_SPAN.fullmatch, cells[3:]))


HALF_TRUTH_SPANS: Mapping[str, str] = {"T": REAL, "F": FAKE}
"""The letters behind the spans of Half-truth: genuine and fake."""

CLASS_TRAIT = "class"
"""The trait that holds the number behind a line of Half-truth until `settle_classes` says what it means."""


def _half_truth(cells: Sequence[str]) -> Clip:
    name, spans, number = _counted(cells, 3)
    items = [_span(item) for item in spans.split("/")]
    if unknown := next((letter for *_, letter in items if letter not in HALF_TRUTH_SPANS), None):
        raise ManifestError(f"span label: expected T (genuine) or F (fake), received {unknown!r}")
    segments = spans_of((onset_s, offset_s, HALF_TRUTH_SPANS[letter]) for onset_s, offset_s, letter in items)
    label = label_of_spans(segments)
    if label is None:
        raise ManifestError(f"spans: expected one of some length, received {spans!r}")
    return Clip(name, label, segments, n_samples=segments[-1].offset, traits={CLASS_TRAIT: number})


def _fits_half_truth(cells: Sequence[str]) -> bool:
    return len(cells) == 3 and all(map(_SPAN.fullmatch, cells[1].split("/")))


def _span(item: str) -> tuple[str, str, str]:
    found = _SPAN.fullmatch(item)
    if found is None:
        raise ManifestError(f"span: expected onset-offset-label in seconds, received {item[:60]!r}")
    return found[1], found[2], found[3]


def _class_named(word: str) -> str:
    label = label_named(word)
    if label == HYBRID:
        raise ManifestError(f"span label: expected genuine or fake, received {word!r}")
    return label


def settle_classes(clips: Mapping[str, Clip]) -> tuple[dict[str, Clip], str]:
    """Find out which convention the numbers behind the lines of a Half-truth file follow, and hold the file to it.

    With two classes 1 is genuine and 0 is fake (Half-truth, ADD 2023). With more, 0 is real, 1 is resynthesised and
    the others are edited: then a clip of class 1 is fake from end to end, whatever its spans say, because every
    sample of it was generated anew.

    Parameters
    ----------
    clips
        What a file holds, by the place of the line, as `HALF_TRUTH` parsed it.

    Returns
    -------
    the clips with their settled labels, and a sentence for people about the convention.

    Raises
    ------
    ManifestError
        Naming the place, for a number that contradicts the spans of its line.
    """
    several = _are_several(clips.values())
    settle = _settled_of_several if several else _settled_of_two
    settled = {where: placed(where, partial(settle, clip)) for where, clip in clips.items()}
    said = "0 real, 1 resynthesised, higher: edited" if several else "1 genuine, 0 fake"
    return settled, f"classes behind the lines: {said}, as the spans of the file show"


def _are_several(clips: Iterable[Clip]) -> bool:
    """Tell whether a file has more than two classes: then a number is above 1, or 0 is real and never fake."""
    seen = {(clip.traits[CLASS_TRAIT], clip.label == REAL) for clip in clips}
    above = any(number not in ("0", "1") for number, _ in seen)
    return above or (("0", True) in seen and ("0", False) not in seen)


def _settled_of_two(clip: Clip) -> Clip:
    number = clip.traits[CLASS_TRAIT]
    if number != ("1" if clip.label == REAL else "0"):
        raise ManifestError(f"class: expected 1 for genuine and 0 for fake, received {number} with {clip.label} spans")
    return replace(clip, traits={})


RESYNTHESISED = "1"
"""The class of genuine speech that went through a vocoder or neural codec, in files of more than two classes."""

KINDS: Mapping[str, str] = {RESYNTHESISED: "resynthesised", "2": "cut and paste", "3": "infilled"}
"""What the classes of such files are, as trait `kind`."""


def _settled_of_several(clip: Clip) -> Clip:
    number = clip.traits[CLASS_TRAIT]
    traits = known(kind=KINDS.get(number, "" if number == "0" else f"class {number}"))
    if number == RESYNTHESISED:
        return replace(clip, label=FAKE, segments=(Segment(0, clip.n_samples, FAKE),), traits=traits)
    if not number.isdecimal() or (number == "0") != (clip.label == REAL):
        raise ManifestError(f"class: expected 0 for real, others for fake, received {number} with {clip.label} spans")
    return replace(clip, traits=traits)


# One label a line


def _plain(cells: Sequence[str]) -> Clip:
    name, key = _counted(cells, 2)
    return Clip(name, label_named(key))


ASVSPOOF_2019 = LineForm(
    kind="ASVspoof 2019 protocol",
    columns="speaker id environment attack label",
    fits=_label_at(5, 4),
    parse=_asvspoof_2019,
)
ASVSPOOF_2021_LA = LineForm(
    kind="ASVspoof 2021 LA key",
    columns="speaker id codec transmission attack label trim phase",
    fits=_label_at(8, 5),
    parse=_asvspoof_2021_la,
)
ASVSPOOF_2021_DF = LineForm(
    kind="ASVspoof 2021 DF key",
    columns="speaker id codec source attack label trim phase vocoder task team sexes language",
    fits=_label_at(13, 5),
    parse=_asvspoof_2021_df,
)
ASVSPOOF_5 = LineForm(
    kind="ASVspoof 5 protocol",
    columns="speaker id sex codec quality seed attack-tag attack label -",
    fits=_label_at(10, 8),
    parse=_asvspoof_5,
)
SPANS = LineForm(
    kind="label lines with spans (LlamaPartialSpoof)",
    columns="id duration label onset-offset-label ...",
    fits=_fits_spans_line,
    parse=_spans_line,
)
HALF_TRUTH = LineForm(
    kind="Half-truth label lines",
    columns="id onset-offset-T/onset-offset-F/... class",
    fits=_fits_half_truth,
    parse=_half_truth,
)
PLAIN = LineForm(kind="plain labels", columns="id label", fits=_label_at(2, 1), parse=_plain)

FORMS = (ASVSPOOF_2019, ASVSPOOF_2021_LA, ASVSPOOF_2021_DF, ASVSPOOF_5, SPANS, HALF_TRUTH, PLAIN)
"""Every form; no first line fits two of them."""
