"""What `script.py insight` says of a set: composed here, and laid out for people, for programs and for a document."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.atomic import put_between, replacing
from audio.labels import FAKE
from audio.manifest import Clip
from audio.pages import Block, Heading, Paragraph, Picture, Table, table_markdown, table_text, write_page
from audio.segments import SAMPLE_RATE
from model.classical import pictures
from model.classical.handmade import NAMES
from model.classical.insight import (
    ASPECTS,
    CLASSIFIER,
    Change,
    Components,
    Effect,
    Importance,
    aspects,
    band_edges_hz,
    changes,
    components,
    effects,
    importance,
)
from model.classical.measuring import CONDITIONS, WINDOW_SAMPLES, Measured
from model.classical.selection import mutual_information
from model.evaluation.breakdown import FEWEST_CLIPS, FEWEST_VALUES, MOST_VALUES, PITCH_HZ, band, ordered
from model.evaluation.pictures import Row, breakdown_png
from model.metrics.bootstrap import Resamples, resamples

SCHEMA_VERSION = 1
"""Version of the JSON."""

N_SHOWN = 20
"""Features in the tables for people; the JSON and the CSV have all."""

N_CHANGED = 10
"""Features in the table of what changes between recordings and their copies."""

N_LOADINGS = 5
"""Features that a component is named by."""

BEGIN, END = "<!-- insight begin -->", "<!-- insight end -->"
"""Marks in a document that the findings stand between."""

GENERATOR = "generator"
"""The property that real clips have no value of: its parts are set against all of them."""

BY = "effects-by-"
"""How names of pictures of groups begin; a document has the tables alone."""

HOW_TO_READ = (
    "d is Cohen's: the mean of the fake clips less that of the real ones, over the pooled deviation; above 0, fakes"
    " have more. AUC is the share of pairs of a fake and a real clip in which the fake has more; 0.5 says nothing."
    " Changes are between a fake and the genuine recording that it copies word for word: mean difference over the"
    " deviation of the differences. An effect tells real from fake in this set; whether synthesis is its cause,"
    " only the changes say."
)

CONDITION_NAMES: Mapping[str, tuple[str, str]] = {
    "level_dbfs": ("level of the speech", "dBFS"),
    "snr_db": ("signal over noise", "dB"),
    "bandwidth_hz": ("bandwidth", "Hz"),
    "duration_s": ("length", "s"),
}
"""The facts of `CONDITIONS`, for people."""

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Material:
    """Clips that were measured, and what they are for."""

    clips: tuple[Clip, ...]
    """Real and fake ones."""
    measured: tuple[Measured, ...]
    """Of each."""
    in_sample: tuple[bool, ...]
    """Whether it is one of the balanced sample; others are there for a pair."""

    def only(self, wanted: Sequence[bool] | Flags) -> Material:
        """Return some of the clips."""
        return self._at([i for i, some in enumerate(wanted) if some])

    @property
    def sample(self) -> Material:
        """The balanced sample."""
        return self.only(self.in_sample)

    @property
    def pairs(self) -> tuple[Material, Material]:
        """Fakes that copy a clip that was measured, and these clips."""
        places = {clip.path: i for i, clip in enumerate(self.clips)}
        copies = [i for i, clip in enumerate(self.clips) if clip.label == FAKE and clip.source_clip in places]
        sources = [places[self.clips[i].source_clip] for i in copies]
        return self._at(copies), self._at(sources)

    def _at(self, places: Sequence[int]) -> Material:
        clips, measured, in_sample = self.clips, self.measured, self.in_sample
        kept = (tuple(part[i] for i in places) for part in (clips, measured, in_sample))
        return Material(*kept)  # type: ignore[arg-type]

    @property
    def is_fake(self) -> Flags:
        """bool (n,)."""
        return np.array([clip.label == FAKE for clip in self.clips], dtype=bool)

    @property
    def features(self) -> Numbers:
        """float64 (n, len(NAMES))."""
        return np.array([each.features for each in self.measured]).reshape(-1, len(NAMES))

    @property
    def bands_db(self) -> Numbers:
        """float64 (n, N_BANDS)."""
        return np.array([each.bands_db for each in self.measured]).reshape(-1, len(band_edges_hz()))

    @property
    def conditions(self) -> Numbers:
        """float64 (n, len(CONDITIONS)), NaN for what does not show."""
        return np.array([each.conditions for each in self.measured], dtype=np.float64).reshape(-1, len(CONDITIONS))

    @property
    def aspects(self) -> Numbers:
        """float64 (n, len(ASPECTS)), NaN for what does not show."""
        return aspects(self.features, self.bands_db)

    def drawn(self, *, n_resamples: int, seed: int) -> Resamples | None:
        """Draw speakers for intervals; None where fewer than two speak."""
        return resamples([voice(clip) for clip in self.clips], n_resamples=n_resamples, seed=seed)


def voice(clip: Clip) -> str:
    """Name who speaks; a clip of an unknown speaker, and its copies, have one of their own."""
    return clip.speaker or clip.source_clip or clip.path


@dataclass(frozen=True)
class Line:
    """A measure, its effect in the sample, and its change in pairs where there are any."""

    key: str
    name: str
    unit: str
    effect: Effect
    change: Change | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the line as what JSON can hold."""
        change = None if self.change is None else self.change.to_json()
        return {"key": self.key, "name": self.name, "unit": self.unit, **self.effect.to_json(), "change": change}


@dataclass(frozen=True, eq=False)
class Plan:
    """What was asked for, besides the set."""

    name: str
    """Of the set and its split, for people."""
    facts: Mapping[str, str]
    """Command and versions, by name."""
    folds: Sequence[tuple[Flags, Flags]]
    """Of the sample: which clips the classifier is fitted on, and which it is tested on."""
    folds_by: str
    """What the folds keep apart, or why there are none."""
    left_out: Mapping[str, int]
    """Clips of the set that were not looked at, by reason."""
    failed: Mapping[str, str]
    """Why clips could not be measured, by path."""
    seed: int = 0
    n_resamples: int = 1_000


@dataclass(frozen=True, eq=False)
class Insight:
    """Everything that was found."""

    plan: Plan
    material: Material
    features: tuple[Line, ...]
    information: Numbers
    """Mutual information of each feature with the class, in nats."""
    importance: Importance | None
    components: Components
    aspects: tuple[Line, ...]
    bands: tuple[Line, ...]
    conditions: tuple[Line, ...]
    parts: Mapping[str, Mapping[str, tuple[Line, ...]]]
    """Aspects within groups, by property and value."""

    @property
    def counts(self) -> Counter[str]:
        """Clips of the sample by class."""
        return Counter(clip.label for clip in self.material.sample.clips)

    @property
    def n_pairs(self) -> int:
        """Copies whose original was measured too."""
        return len(self.material.pairs[0].clips)

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold, schema `SCHEMA_VERSION`."""
        sample, judged = self.material.sample, self.importance
        found = {
            "classifier": CLASSIFIER,
            "folds_by": self.plan.folds_by,
            "auc": None if judged is None else list(judged.auc),
        }
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.plan.name,
            "positive_class": FAKE,
            "facts": dict(self.plan.facts),
            "clips": dict(self.counts),
            "speakers": len(_speakers(sample)),
            "generators": dict(Counter(clip.generator for clip in sample.clips if clip.generator)),
            "pairs": self.n_pairs,
            "left_out": dict(self.plan.left_out),
            "failed": dict(self.plan.failed),
            "intervals": {"level": 0.95, "resamples": self.plan.n_resamples, "seed": self.plan.seed},
            "warnings": list(warnings(self)),
            "importance": found,
            "features": [self._feature(i) for i in range(len(self.features))],
            "components": [_component(self.components, i) for i in range(len(self.components.explained))],
            "aspects": [line.to_json() for line in self.aspects],
            "bands": [line.to_json() for line in self.bands],
            "conditions": [line.to_json() for line in self.conditions],
            "parts": {
                name: {value: [line.to_json() for line in lines] for value, lines in parts.items()}
                for name, parts in self.parts.items()
            },
        }

    def _feature(self, place: int) -> dict[str, Any]:
        judged = self.importance
        return {
            **self.features[place].to_json(),
            "mutual_information": float(self.information[place]),
            "importance": None if judged is None else float(judged.values[place]),
            "importance_deviation": None if judged is None else float(judged.deviations[place]),
        }


def _speakers(sample: Material) -> set[str]:
    return {clip.speaker for clip in sample.clips} - {""}


def _component(found: Components, place: int) -> dict[str, Any]:
    return {"explained": found.explained[place], "loadings": dict(_loadings(found, place))}


def _loadings(found: Components, place: int) -> list[tuple[str, float]]:
    """The features that a component is made of most, with their weights."""
    weights = found.loadings[place]
    return [(NAMES[i], float(weights[i])) for i in np.argsort(-np.abs(weights), kind="stable")[:N_LOADINGS]]


def find(material: Material, plan: Plan) -> Insight:
    """Compute everything.

    Parameters
    ----------
    material
        Clips of both classes, at least two of each in the sample.
    plan
        What was asked for.
    """
    sample, (copies, sources) = material.sample, material.pairs
    drawn, pairs_drawn = (m.drawn(n_resamples=plan.n_resamples, seed=plan.seed) for m in (sample, copies))

    def lines(names: Sequence[tuple[str, str, str]], of: str) -> tuple[Line, ...]:
        found = effects(getattr(sample, of), sample.is_fake, drawn)
        differences = getattr(copies, of) - getattr(sources, of)
        moved = changes(differences, pairs_drawn) if copies.clips else [None] * len(found)
        return tuple(Line(*name, effect, change) for name, effect, change in zip(names, found, moved, strict=True))

    return Insight(
        plan=plan,
        material=material,
        features=lines([(name, name, "") for name in NAMES], "features"),
        information=mutual_information(sample.features, sample.is_fake.astype(np.int64), seed=plan.seed),
        importance=importance(sample.features, sample.is_fake, plan.folds, seed=plan.seed),
        components=components(sample.features),
        aspects=lines(_ASPECT_NAMES, "aspects"),
        bands=lines([(f"{a}_{b}_hz", f"{a} to {b} Hz", "dB") for a, b in band_edges_hz()], "bands_db"),
        conditions=lines([(key, *CONDITION_NAMES[key]) for key in CONDITIONS], "conditions"),
        parts=_parts(sample, drawn),
    )


_ASPECT_NAMES = [(aspect.key, aspect.name, aspect.unit) for aspect in ASPECTS]


def _parts(sample: Material, drawn: Resamples | None) -> dict[str, dict[str, tuple[Line, ...]]]:
    """Effects of the aspects among the clips of a sex, a band of pitch, a language; of a generator against all real."""
    found = {}
    for name, values in _properties(sample).items():
        others = ~sample.is_fake & (name == GENERATOR)
        inside = {v: np.array([each == v for each in values]) | others for v in ordered(set(values) - {""})}
        kept = {v: some for v, some in inside.items() if _fewest(sample.is_fake[some]) >= FEWEST_CLIPS}
        if len(inside) >= FEWEST_VALUES and kept and len(kept) <= MOST_VALUES:
            found[name] = {value: _part(sample, some, drawn) for value, some in kept.items()}
    return found


def _fewest(is_fake: Flags) -> int:
    """Clips of the smaller class."""
    return min(int(is_fake.sum()), int((~is_fake).sum()))


def _part(sample: Material, inside: Flags, drawn: Resamples | None) -> tuple[Line, ...]:
    own = sample.only(inside)
    among = None if drawn is None else Resamples(drawn.group_of[inside], drawn.counts)
    found = effects(own.aspects, own.is_fake, among)
    return tuple(Line(*name, effect) for name, effect in zip(_ASPECT_NAMES, found, strict=True))


def _properties(sample: Material) -> dict[str, list[str]]:
    """Value of each property for each clip, "" where it is unknown; the sex of a speaker is that of all their clips."""
    told = {voice(clip): clip.traits["sex"] for clip in sample.clips if clip.traits.get("sex")}
    return {
        "sex": [told.get(voice(clip), "") for clip in sample.clips],
        "pitch": [band(each.pitch_hz, PITCH_HZ, unit="Hz") for each in sample.measured],
        "language": [clip.language for clip in sample.clips],
        GENERATOR: [clip.generator for clip in sample.clips],
    }


# For people


def insight_text(found: Insight) -> str:
    """Return the findings as lines for a terminal."""
    parts = [described(found), *(f"warning: {line}" for line in warnings(found)), *map(table_text, tables(found))]
    return "\n\n".join(parts)


def described(found: Insight) -> str:
    """Say in a few sentences what was looked at, and how."""
    sample, plan = found.material.sample, found.plan
    n_nameless = sum(not clip.speaker for clip in sample.clips)
    nameless = f" (and {n_nameless} clips of unknown ones)" if n_nameless else ""
    n_makers = len({clip.generator for clip in sample.clips} - {""})
    counts = ", ".join(f"{n} {label}" for label, n in sorted(found.counts.items(), reverse=True))
    said = [
        f"{plan.name}: {counts} clips, {len(_speakers(sample))} speakers{nameless}, {n_makers} generators;"
        f" {found.n_pairs} pairs of a genuine recording and its copy."
        f" Speech in windows of {WINDOW_SAMPLES / SAMPLE_RATE:g} s.",
        f"Positive class: fake. Intervals: 95 %, {plan.n_resamples} resamples by speaker. Seed {plan.seed}.",
    ]
    if out := ", ".join(f"{n} {why}" for why, n in plan.left_out.items() if n):
        said.append(f"Left out: {out}.")
    if found.importance is not None:
        areas = ", ".join(f"{area:.2f}" for area in found.importance.auc)
        said.append(f"Importance: {CLASSIFIER} classifier, folds {plan.folds_by}; AUC of the folds {areas}.")
    return " ".join(said)


def warnings(found: Insight) -> Iterator[str]:
    """Say what a reader must know before believing a number."""
    if found.importance is None:
        yield f"no permutation importance: {found.plan.folds_by}"
    if found.plan.failed:
        yield f"{len(found.plan.failed)} clips could not be measured, and are left out"
    if not found.n_pairs:
        yield "no pairs of a recording and its copy: what is synthesis and what is recording cannot be told apart"
    apart = [line for line in found.conditions if line.effect.d is not None and abs(line.effect.d) >= 0.5]
    for line in apart:
        told = f"{_told(line.effect.real)} and {_told(line.effect.fake)} {line.unit}"
        yield f"real and fake were recorded differently: {line.name} {told} (d {line.effect.d:+.2f})"


def tables(found: Insight) -> Iterator[Table]:
    """Return what stands in the report, table by table."""
    for hypothesis in dict.fromkeys(aspect.hypothesis for aspect in ASPECTS):
        keys = {aspect.key for aspect in ASPECTS if aspect.hypothesis == hypothesis}
        yield line_table([line for line in found.aspects if line.key in keys], hypothesis)
    yield line_table(found.bands, "Level of bands of the mean spectrum, re the whole")
    yield line_table(found.conditions, "Recording conditions, which are no sign of synthesis")
    yield feature_table(found)
    if found.n_pairs:
        yield line_table(most_changed(found), f"The {N_CHANGED} features that change most in pairs")
    yield component_table(found)
    for name, parts in found.parts.items():
        yield part_table(name, parts)


def line_table(lines: Sequence[Line], caption: str) -> Table:
    """Return measures, one a row."""
    header = ("", "unit", "real", "fake", "d", "95 % interval", "AUC", "change in pairs", "d of it", "95 % interval")
    return Table(header, tuple(map(_cells, lines)), words=frozenset({1}), caption=caption)


def _cells(line: Line) -> tuple[str, ...]:
    effect, change = line.effect, line.change
    own = (line.name, line.unit, _told(effect.real), _told(effect.fake), _signed(effect.d), _range(effect))
    moved = ("", "", "") if change is None else (_moved(change.mean), _signed(change.d), _range(change))
    return (*own, _share(effect.auc), *moved)


def feature_table(found: Insight) -> Table:
    """Return the features that tell most about the class, one a row."""
    header = ("feature", "mutual information, nats", "importance, AUC", "d", "95 % interval", "AUC", "d in pairs")
    rows = []
    for i in most_telling(found):
        line, judged = found.features[i], found.importance
        lost = "" if judged is None else f"{judged.values[i]:+.4f} ± {judged.deviations[i]:.4f}"
        moved = "" if line.change is None else _signed(line.change.d)
        told = (_signed(line.effect.d), _range(line.effect), _share(line.effect.auc), moved)
        rows.append((line.name, f"{found.information[i]:.3f}", lost, *told))
    caption = f"The {len(rows)} of {len(NAMES)} features that tell most about the class"
    return Table(header, tuple(rows), caption=caption)


def most_telling(found: Insight) -> list[int]:
    """Return the places of the features with most mutual information, the first first."""
    return [int(i) for i in np.argsort(-found.information, kind="stable")[:N_SHOWN]]


def most_changed(found: Insight) -> list[Line]:
    """Return the features that move most between genuine recordings and their copies, re how much that differs."""
    moved = [line for line in found.features if line.change is not None and line.change.d is not None]
    return sorted(moved, key=lambda line: -abs(line.change.d or 0.0) if line.change else 0.0)[:N_CHANGED]


def component_table(found: Insight) -> Table:
    """Return what the principal components are made of."""
    rows = [
        (str(i + 1), f"{100 * share:.1f} %", ", ".join(f"{n} {w:+.2f}" for n, w in _loadings(found.components, i)))
        for i, share in enumerate(found.components.explained)
    ]
    return Table(("component", "variance", "made of most"), tuple(rows), words=frozenset({2}), caption="PCA")


def part_table(name: str, parts: Mapping[str, Sequence[Line]]) -> Table:
    """Return the effects within groups of clips, a group a row."""
    header = ("", "real", "fake", *(f"{aspect.key}, d" for aspect in ASPECTS))
    rows = []
    for value, lines in parts.items():
        effects_ = [line.effect for line in lines]
        counts = (str(max(e.n_real for e in effects_)), str(max(e.n_fake for e in effects_)))
        rows.append((value, *counts, *(f"{_signed(e.d)} {_bracketed(e)}".strip() for e in effects_)))
    return Table(header, tuple(rows), caption=f"By {name}")


def _bracketed(effect: Effect) -> str:
    return f"({_range(effect)})" if _range(effect) else ""


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if abs(value) < 1_000 else f"{value:.0f}"


def _moved(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3g}" if abs(value) < 1_000 else f"{value:+.0f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _range(each: Effect | Change) -> str:
    return "" if each.low is None or each.high is None else f"{each.low:+.2f} to {each.high:+.2f}"


# Pictures and files


def drawings(found: Insight) -> dict[str, Picture]:
    """Draw everything, by the name of the file; raises `ToolkitError` without matplotlib."""
    sample = found.material.sample
    values, is_fake = sample.aspects, sample.is_fake
    panels = [(f"{a.hypothesis}: {a.key}", f"{a.name}, {a.unit}", values[:, i]) for i, a in enumerate(ASPECTS)]
    spread = "How the measures of the three hypotheses are spread in both classes, as % of each."
    levels = "Mean spectrum of both classes and the middle half of the clips."
    points = "Clips by the two principal components of all features."
    drawn = {
        "hypotheses": Picture(pictures.distributions_png(panels, is_fake), spread, spread),
        "spectrum": Picture(pictures.spectrum_png(sample.bands_db, is_fake), levels, levels),
        "components": Picture(pictures.components_png(found.components, is_fake), points, points),
        "effects": _forest(_rows(found.aspects), "Cohen's d of the measures, all clips of the sample"),
    }
    for name, parts in found.parts.items():
        rows = [
            Row(f"{aspect.key}, {value}", *_ends(parts[value][i].effect))
            for i, aspect in enumerate(ASPECTS)
            for value in parts
        ]
        drawn[f"{BY}{name}"] = _forest(rows, f"Cohen's d of the measures, by {name}")
    return drawn


def _ends(effect: Effect) -> tuple[float | None, float | None, float | None, int]:
    return effect.d, effect.low, effect.high, effect.n_real + effect.n_fake


def _rows(lines: Sequence[Line]) -> list[Row]:
    return [Row(line.key, *_ends(line.effect)) for line in lines]


def _forest(rows: Sequence[Row], told: str) -> Picture:
    said = f"{told}; dotted: no difference."
    return Picture(breakdown_png(rows, quantity="Cohen's d; above 0, fakes have more", overall=0.0), said, said)


def write_insight(out: Path, found: Insight) -> None:
    """Write insight.json, features.csv and report.html into a folder.

    Raises
    ------
    OSError
        When the disk fails.
    ToolkitError
        When Jinja2 or matplotlib is missing, or the page cannot be written.
    """
    page = list(_blocks(found))
    texts = {
        "insight.json": json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n",
        "features.csv": features_csv(found),
    }
    for name, text in texts.items():
        with replacing(out / name) as beside:
            beside.write_text(text, encoding="utf-8", newline="\n")
    write_page(out / "report.html", page, title=f"Real and fake speech in {found.plan.name}")


def features_csv(found: Insight) -> str:
    """Return all features, one a line, as CSV."""
    kept = StringIO()
    rows = [{k: v for k, v in each.items() if k not in ("name", "unit")} for each in found.to_json()["features"]]
    for row in rows:
        change = row.pop("change") or {}
        row["change_d"] = change.get("d")
    table = csv.DictWriter(kept, rows[0], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return kept.getvalue()


def _blocks(found: Insight) -> Iterator[Block]:
    yield from (Paragraph(line[0].upper() + line[1:] + ".", alarm=True) for line in warnings(found))
    yield Paragraph(described(found))
    yield Paragraph(HOW_TO_READ)
    drawn = drawings(found)
    yield Heading("In pictures")
    yield from drawn.values()
    yield Heading("In numbers")
    yield from tables(found)
    yield Heading("How it was made")
    yield Table(("what", "which"), tuple(found.plan.facts.items()), words=frozenset({1}))


def write_markdown(path: Path, found: Insight) -> None:
    """Put the findings into a document between two marks, and the pictures into a folder of its name beside it.

    Raises
    ------
    ToolkitError
        When the document lacks the marks, or matplotlib is missing.
    OSError
        When there is no such document, or the disk fails.
    """
    drawn = {name: picture for name, picture in drawings(found).items() if not name.startswith(BY)}
    shown = [f"![{picture.alt}]({path.stem}/{name}.png)" for name, picture in drawn.items()]
    told = [f"**{table.caption}**\n\n{table_markdown(table)}" for table in tables(found)]
    command = f"```console\n$ {found.plan.facts['command']}\n```"
    warned = "\n".join(f"- {line}" for line in warnings(found))
    parts = [command, described(found), HOW_TO_READ, warned, *shown, *told]
    put_between(path, "\n\n".join(part for part in parts if part), begin=BEGIN, end=END)
    for name, picture in drawn.items():
        with replacing(path.parent / path.stem / f"{name}.png") as beside:
            beside.write_bytes(picture.png)
