"""What a set holds: classes, splits, people, generators, lengths, spans; and what its splits have in common.

Everything comes from the manifest. Only where it does not tell how long a clip is, the header of the file is read.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from audio.errors import AudioError, EngineError, ManifestError
from audio.labels import FAKE, LABELS
from audio.manifest import SPLITS, Clip, read_set, resolve
from audio.pages import Table, table_text
from audio.segments import SAMPLE_RATE
from synth.facts import read_header

STATS_VERSION = 1
"""Version of the format of `Stats.to_json`."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Of lengths: the extremes, the middle half, and all but the outermost twentieths."""

UNSEEN, TEST = "test_unseen", "test"
"""`test_unseen` has the speakers and the recordings of `test` by design, and generators that nothing else has."""

SPEAKERS, GENERATORS = "speakers", "generators"

MOST_NAMED = 3
"""Examples of what two splits share."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shared:
    """Something that two splits have in common; `is_leak`: they should not.

    A generator in training and in test is no leak as such: a set may ask how well known generators are found.
    Generators of `test_unseen` are another matter.
    """

    what: str
    splits: tuple[str, str]
    names: tuple[str, ...]
    is_leak: bool


@dataclass(frozen=True)
class Stats:
    """What a set holds. Splits are in the order of `SPLITS`, "" last: clips without one."""

    name: str
    clips: tuple[Clip, ...]
    durations_s: tuple[float | None, ...]
    """Of each clip; None where not even the file tells."""
    unreadable: Mapping[str, str]
    """Why a file, of which the manifest does not tell the length, cannot be read."""
    shared: tuple[Shared, ...]

    @property
    def labels(self) -> list[str]:
        """The classes that occur, in the order of `LABELS`."""
        found = {clip.label for clip in self.clips}
        return [label for label in LABELS if label in found]

    @property
    def splits(self) -> list[str]:
        """The splits that occur."""
        found = {clip.split for clip in self.clips}
        return [split for split in (*SPLITS, "") if split in found]

    @property
    def leaks(self) -> list[Shared]:
        """What splits share and should not."""
        return [shared for shared in self.shared if shared.is_leak]

    @property
    def span_lengths_s(self) -> list[float]:
        """Length of every fake span of the clips that are not fake throughout."""
        return [s.duration / SAMPLE_RATE for clip in self.clips if clip.label != FAKE for s in _fake_spans(clip)]

    @property
    def spans_per_clip(self) -> Counter[int]:
        """How many clips, of those with fake spans that are not fake throughout, have how many of them."""
        return Counter(n for clip in self.clips if clip.label != FAKE and (n := len(_fake_spans(clip))))

    @property
    def operations(self) -> Counter[str]:
        """How often each operation of the splicer was done."""
        return Counter(operation for clip in self.clips for operation in _operations(clip))

    @property
    def join_kinds(self) -> Counter[str]:
        """How many joins there are of each kind."""
        joins = (join for clip in self.clips for join in (clip.splice or {}).get("joins") or ())
        return Counter(str(join.get("kind", "?")) for join in joins if isinstance(join, Mapping))

    def durations_of(self, **wanted: str) -> list[float]:
        """Return the known lengths of the clips with these fields, such as `label="real"`, in seconds."""
        pairs = zip(self.clips, self.durations_s, strict=True)
        return [s for clip, s in pairs if s is not None and all(getattr(clip, k) == v for k, v in wanted.items())]

    def counts(self, field: str) -> Counter[tuple[str, str]]:
        """Count the clips by (value of a field, split); clips whose field is empty do not count."""
        return Counter((value, clip.split) for clip in self.clips if (value := getattr(clip, field)))

    def to_json(self) -> dict[str, Any]:
        """Return the figures as what JSON can hold, without the clips."""
        return {
            "schema_version": STATS_VERSION,
            "set": self.name,
            "n_clips": len(self.clips),
            "unreadable": dict(self.unreadable),
            "classes": [
                {"split": split, "label": label, "n_clips": n, "minutes": minutes}
                for split, label, n, minutes in _classes(self)
            ],
            **{name: _nested(self.counts(field)) for name, field in _NAMED.items()},
            "duration_s": _quantiles(self.durations_of()),
            "span_s": _quantiles(self.span_lengths_s),
            "spans_per_clip": {str(n): count for n, count in sorted(self.spans_per_clip.items())},
            "operations": dict(self.operations.most_common()),
            "join_kinds": dict(self.join_kinds.most_common()),
            "shared": [{**vars(shared), "splits": list(shared.splits)} for shared in self.shared],
        }


def set_stats(path: Path) -> Stats:
    """Look through a set.

    Parameters
    ----------
    path
        A manifest, a table, or a folder; see `audio.manifest.read_set`.

    Raises
    ------
    ManifestError
        When there is no set.
    """
    from tqdm import tqdm

    place, clips = read_set(path)
    durations: list[float | None] = []
    unreadable: dict[str, str] = {}
    for clip in tqdm(clips, desc="clips", disable=None):
        try:
            durations.append(_duration_s(place, clip))
        except (AudioError, EngineError, ManifestError) as error:
            durations.append(None)
            unreadable[clip.path] = str(error)
    return Stats(str(path), tuple(clips), tuple(durations), unreadable, tuple(shared_between(clips)))


def shared_between(clips: Sequence[Clip]) -> Iterator[Shared]:
    """Yield what two splits have in common: speakers, generators, and recordings by name and by content.

    Clips without a split, and unknown speakers and generators, are in common with nothing.
    """
    for what, names_of in _KINDS.items():
        by_split: dict[str, set[str]] = {split: set() for split in SPLITS}
        for clip in clips:
            by_split.setdefault(clip.split, set()).update(names_of(clip))
        for pair in combinations(SPLITS, 2):
            # What `test` and `test_unseen` share they share by design, except for generators.
            if set(pair) == {TEST, UNSEEN} and what != GENERATORS:
                continue
            if names := by_split[pair[0]] & by_split[pair[1]]:
                yield Shared(what, pair, tuple(sorted(names)), what != GENERATORS or UNSEEN in pair)


def stats_text(stats: Stats) -> str:
    """Return everything as tables for a terminal."""
    tables = [_class_table(stats), *(_name_table(stats, name) for name in _NAMED), *_length_tables(stats)]
    tables += [_count_table(name, counts) for name, counts in _counters(stats).items() if counts]
    parts = [f"{stats.name}: {len(stats.clips)} clips", *(table_text(table) for table in tables if table.rows)]
    if stats.unreadable:
        parts.append("\n".join(["cannot be read:", *(f"{path}: {why}" for path, why in stats.unreadable.items())]))
    return "\n\n".join([*parts, _shared_text(stats)])


_NAMED = {SPEAKERS: "speaker", GENERATORS: "generator", "languages": "language"}
"""What people are told about by split -> field of a clip."""

_SPANS = "fake spans in a clip"


def _counters(stats: Stats) -> dict[str, Counter[Any]]:
    return {_SPANS: stats.spans_per_clip, "operation": stats.operations, "kind of join": stats.join_kinds}


def _duration_s(place: Path, clip: Clip) -> float | None:
    if clip.n_samples:
        return clip.n_samples / SAMPLE_RATE
    return read_header(resolve(place, clip)).duration_s


def _fake_spans(clip: Clip) -> list[Any]:
    return [segment for segment in clip.segments if segment.label == FAKE]


def _operations(clip: Clip) -> list[str]:
    """Return what the splicer did; sets of version 0.1 name one operation, or "none"."""
    splice = clip.splice or {}
    listed = splice.get("operations", [splice["operation"]] if splice.get("operation", "none") != "none" else [])
    return [str(operation) for operation in listed]


def _sources(clip: Clip) -> set[str]:
    """Return the recordings in a clip, by path; a clip made from nothing else is its own."""
    paths = {str(path) for source in clip.sources if (path := source.get("path"))}
    return paths | ({clip.source_clip} if clip.source_clip else set()) or {clip.path}


def _digests(clip: Clip) -> set[str]:
    return {str(digest) for source in clip.sources if (digest := source.get("sha256"))}


_KINDS: Mapping[str, Callable[[Clip], set[str]]] = {
    SPEAKERS: lambda clip: {clip.speaker} - {""},
    GENERATORS: lambda clip: {clip.generator} - {""},
    "source recordings": _sources,
    "source recordings by content (SHA-256)": _digests,
}


def _classes(stats: Stats) -> Iterator[tuple[str, str, int, float]]:
    """Yield split, label, number of clips and minutes of what occurs."""
    for split in stats.splits:
        for label in LABELS:
            if n := sum(clip.split == split and clip.label == label for clip in stats.clips):
                yield split, label, n, sum(stats.durations_of(split=split, label=label)) / 60.0


def _class_table(stats: Stats) -> Table:
    rows = [(split or "(none)", label, str(n), f"{minutes:.1f}") for split, label, n, minutes in _classes(stats)]
    total = ("all", "", str(len(stats.clips)), f"{sum(stats.durations_of()) / 60.0:.1f}")
    return Table(("split", "class", "clips", "minutes"), (*rows, total), words=frozenset({1}))


def _name_table(stats: Stats, name: str) -> Table:
    """Count clips by name and split, the commonest first; unknown names are left out."""
    nested = _nested(stats.counts(_NAMED[name]))
    ranked = sorted(nested.items(), key=lambda pair: (-sum(pair[1].values()), pair[0]))
    rows = tuple((key, *(str(by.get(split, "")) for split in stats.splits)) for key, by in ranked)
    return Table((f"{name} ({len(rows)})", *(split or "(none)" for split in stats.splits)), rows)


def _length_tables(stats: Stats) -> Iterator[Table]:
    groups = {f"clips, {label}": stats.durations_of(label=label) for label in LABELS}
    groups["fake spans, not of fakes"] = stats.span_lengths_s
    told = {name: values for name, values in groups.items() if values}
    header = ("seconds", "number", *(f"{q:.0%}" for q in QUANTILES))
    rows = (
        (name, str(len(values)), *(f"{s:.2f}" for s in np.quantile(values, QUANTILES))) for name, values in told.items()
    )
    yield Table(header, tuple(rows))


def _count_table(name: str, counts: Counter[Any]) -> Table:
    ranked = sorted(counts.items()) if name == _SPANS else counts.most_common()
    share = 100.0 / counts.total()
    return Table((name, "number", "%"), tuple((str(key), str(n), f"{n * share:.1f}") for key, n in ranked))


def _shared_text(stats: Stats) -> str:
    if not stats.shared:
        return "shared between splits: nothing"
    lines = ["shared between splits:"]
    for shared in stats.shared:
        named = ", ".join(shared.names[:MOST_NAMED]) + (", ..." if len(shared.names) > MOST_NAMED else "")
        mark = "LEAK  " if shared.is_leak else "      "
        lines.append(f"{mark}{' and '.join(shared.splits)}: {len(shared.names)} {shared.what}: {named}")
    return "\n".join(lines)


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (key, split), n in sorted(counts.items()):
        nested.setdefault(key, {})[split] = n
    return nested


def _quantiles(values: Iterable[float]) -> dict[str, float] | None:
    """Return the `QUANTILES` by name, None of nothing."""
    known = list(values)
    if not known:
        return None
    return {f"{q:.0%}": float(value) for q, value in zip(QUANTILES, np.quantile(known, QUANTILES), strict=True)}
