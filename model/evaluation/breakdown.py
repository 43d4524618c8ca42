"""The same few figures for parts of a set: by generator, language, pitch band and whatever else its manifest knows.

A part is made of the clips that share a value. Where no real clip has the value, as with generators, the part's fakes
are set against all real clips of the set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from audio.labels import REAL
from audio.segments import SAMPLE_RATE
from model.evaluation.clip_figures import ranking_figures, threshold_figures, verdict_figures
from model.evaluation.figures import Figure, Operating, Sample
from model.evaluation.judged import Judged
from model.evaluation.place_figures import FINEST_MS, LENGTH_S, cell_figures

KEYS = ("accuracy", "clip_eer", f"segment_eer_{FINEST_MS}ms", "fpr", "fnr")
"""The figures of a part."""

FEWEST_VALUES, MOST_VALUES = 2, 60
"""A property with fewer values divides nothing; one with more is a name, not a property (ASVspoof 5 has 32 attacks,
MLAAD about 80 models: see `MOST_GENERATORS`)."""

MOST_GENERATORS = 200
"""Generators are shown up to this many."""

FEWEST_CLIPS = 5
"""Parts with fewer clips are not shown: their figures would be noise."""

PITCH_HZ = (120.0, 165.0, 210.0)
"""Edges of the bands of pitch: men's voices lie mostly in the lower two, women's in the upper two, and children's
above (Titze, "Principles of Voice Production", 1994: means of about 120 and 200 Hz)."""

DURATION_S = (2.0, 4.0, 8.0, 30.0)
"""Edges of the bands of length."""

SNR_DB = (10.0, 20.0, 30.0)
"""Edges of the bands of the estimated ratio of signal to noise."""

NAMES = {
    "generator": "generator",
    "kind": "kind of fake",
    "language": "language",
    "codec": "codec",
    "split": "split",
    "sex": "sex",
    "age": "age",
    "style": "expressiveness",
}
"""How well-known properties are called, in the order in which they are shown; others follow under their own names."""


@dataclass(frozen=True)
class Part:
    """The clips that share a value, and their figures."""

    value: str
    n_clips: int
    figures: tuple[Figure, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the part as what JSON can hold."""
        return {"value": self.value, "clips": self.n_clips, "figures": [figure.to_json() for figure in self.figures]}


@dataclass(frozen=True)
class Breakdown:
    """A property, and its parts."""

    name: str
    parts: tuple[Part, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the breakdown as what JSON can hold."""
        return {"name": self.name, "parts": [part.to_json() for part in self.parts]}


def break_down(given: Sample, operating: Operating | None = None) -> list[Breakdown]:
    """Divide a set by everything that is known of its clips, and compute the figures of the parts.

    Returns
    -------
    A breakdown for each property of which at least two values have `FEWEST_CLIPS` clips, well-known ones first.
    """
    found = []
    for name, values in _properties(given.judged).items():
        most = MOST_GENERATORS if name == NAMES["generator"] else MOST_VALUES
        counts = Counter(value for value in values if value)
        kept = [value for value in ordered(counts) if counts[value] >= FEWEST_CLIPS]
        if len(kept) >= FEWEST_VALUES and len(counts) <= most:
            found.append(Breakdown(name, tuple(_part(given, values, value, operating) for value in kept)))
    return found


def _properties(judged: Sequence[Judged]) -> dict[str, list[str]]:
    """Name each property, and its value for each clip; "" where it is unknown."""
    named = {name: [_known(found, key) for found in judged] for key, name in NAMES.items()}
    named["pitch"] = [band(found.pitch_hz, PITCH_HZ, unit="Hz") for found in judged]
    named["length"] = [band(found.n_samples / SAMPLE_RATE, DURATION_S, unit="s") for found in judged]
    named["signal over noise"] = [band(found.snr_db, SNR_DB, unit="dB") for found in judged]
    named["longest fake span"] = [band(_longest_s(found), LENGTH_S, unit="s") for found in judged]
    others = dict.fromkeys(key for found in judged for key in found.clip.traits if key not in NAMES)
    told = {f"{key}, as told" if key in named else key: key for key in others}
    return named | {name: [found.clip.traits.get(key, "") for found in judged] for name, key in told.items()}


def _known(found: Judged, key: str) -> str:
    value = getattr(found.clip, key, None) or found.clip.traits.get(key, "")
    if key == "codec" and not value and found.clip.channel:
        value = found.clip.channel.get("codec") or "none"
    return str(value)


def _longest_s(found: Judged) -> float | None:
    """Length of the longest fake span of a clip that is not fake throughout."""
    spans = [span for span in found.truth or () if found.clip.label != REAL]
    longest = max((span.duration for span in spans), default=0)
    return longest / SAMPLE_RATE if 0 < longest < found.n_samples else None


def band(value: float | None, edges: Sequence[float], *, unit: str) -> str:
    """Name the band in which a value lies; "" for none."""
    if value is None:
        return ""
    above = [edge for edge in edges if value >= edge]
    if not above:
        return f"below {edges[0]:g} {unit}"
    if len(above) == len(edges):
        return f"from {edges[-1]:g} {unit}"
    return f"{above[-1]:g} to {edges[len(above)]:g} {unit}"


def ordered(values: Iterable[str]) -> list[str]:
    """Return values in order: bands by their numbers, names by the alphabet."""

    def place(value: str) -> tuple[float, str]:
        first, _, rest = value.partition(" ")
        number = first if first.replace(".", "").isdecimal() else rest.partition(" ")[0]
        low = float(number) if number.replace(".", "", 1).isdecimal() else 0.0
        return (low - 1e-6 if first == "below" else low, value)

    return sorted(values, key=place)


def _part(given: Sample, values: Sequence[str], value: str, operating: Operating | None) -> Part:
    chosen = {id(found) for found, has in zip(given.judged, values, strict=True) if has == value}
    has_real = any(found.clip.label == REAL for found in given.judged if id(found) in chosen)
    own = given.only(lambda found: id(found) in chosen)
    against = own if has_real else given.only(lambda found: id(found) in chosen or found.clip.label == REAL)
    return Part(value, len(own.judged), tuple(_figures(own, against, operating)))


def _figures(own: Sample, against: Sample, operating: Operating | None) -> Iterator[Figure]:
    """Yield the figures of `KEYS`: verdicts and errors of the part itself, rankings against real clips."""
    for figures in (
        verdict_figures(own),
        ranking_figures(against, None),
        cell_figures(against, None, resolutions_ms=(FINEST_MS,)),
    ):
        # The first of each that is wanted; what comes after it is costly and never computed.
        yield from islice((figure for figure in figures if figure.key in KEYS), 1)
    yield from (figure for figure in threshold_figures(own, operating) if figure.key in KEYS)
