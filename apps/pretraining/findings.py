"""Judging everything that a card speaks of, and keeping each figure under what it is a figure of."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from apps.pretraining.measuring import (
    SEGMENT_EER,
    confidence_bins,
    equal_errors,
    is_called,
    located,
    loss,
    measure,
    parts,
    selective,
    share,
    shares,
)
from apps.pretraining.sets import CODE_OF_JUDGING, Exam, Exams, Treatment, code_sha256, has_joins, treatments
from audio.errors import ToolkitError
from audio.labels import HYBRID, REAL
from audio.manifest import Clip
from audio.segments import SAMPLE_RATE
from model.bundle import KERAS_NAME, ONNX_NAME, read_bundle, write_bundle
from model.evaluation.breakdown import DURATION_S, FEWEST_CLIPS
from model.evaluation.clip_figures import verdict_figures
from model.evaluation.figures import Figure, Sample, sample
from model.evaluation.judged import Judged
from model.evaluation.place_figures import FINEST_MS
from model.evaluation.scoring import Judge
from model.metrics.calibration import Reliability

LEAST_GENUINE = 20
"""A corpus with fewer genuine clips cannot say whether 5 % of them are accused: one is already more. Smaller ones are
counted together (as `model.training.calibrate` does when it chooses)."""

SMALLER = "smaller ones together"

PROPERTIES: Mapping[str, Callable[[Judged], str]] = {
    "generator": lambda found: found.clip.generator,
    "kind of fake": lambda found: found.clip.traits.get("kind", ""),
    "language": lambda found: found.clip.language,
    "sex": lambda found: found.clip.traits.get("sex", ""),
    "length": lambda found: _length(found.n_samples / SAMPLE_RATE),
}
"""What sets are divided by; "" where it is unknown."""

SELECTIVE = ("rows", "hybrids", "channel")
"""Sets of which the card says what would be gained by giving only the surest verdicts."""


@dataclass(frozen=True)
class Where:
    """What a figure is a figure of."""

    set: str
    part: str = ""
    """As in "generator: yourtts"; "" for all clips."""
    treatment: str = ""
    """What was done to the recordings first; "" for nothing."""
    point: str = ""
    """Operating point; "" for the default."""


@dataclass
class Findings:
    """Figures by what they are of, and what else a card shows; filled once, then read."""

    figures: dict[tuple[Where, str], Figure] = field(default_factory=dict)
    bins: dict[str, Reliability] = field(default_factory=dict)
    """Confidence and accuracy, by set."""
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    """How many clips got no verdict for which reason, by set."""

    def add(self, where: Where, figures: Iterable[Figure]) -> None:
        """Keep figures."""
        self.figures |= {(where, figure.key): figure for figure in figures}

    def get(self, where: Where, key: str) -> Figure | None:
        """Return a figure, or None when there is none."""
        return self.figures.get((where, key))

    def parts(self, name: str, prefix: str) -> list[Where]:
        """Return the parts of a set whose names begin so, in order."""
        found = dict.fromkeys(where for where, _ in self.figures if where.set == name and not where.point)
        return [where for where in found if where.part.startswith(prefix) and not where.treatment]

    def to_json(self) -> list[dict[str, Any]]:
        """Return each figure with all that it needs to be understood."""
        return [{**asdict(where), **_plain(figure)} for (where, _), figure in self.figures.items()]


def _plain(figure: Figure) -> dict[str, Any]:
    facts = {name: value for name, value in figure.to_json().items() if name != "section"}
    resolution_ms = FINEST_MS if figure.key.startswith(SEGMENT_EER) else None
    return {**facts, "positive_class": "fake", "resolution_ms": resolution_ms}


def find(exams: Exams, bundle: Path, *, work: Path, workers: int = 1) -> Findings:
    """Judge everything and compute every figure.

    Parameters
    ----------
    exams
        What is judged.
    bundle
        Folder of the bundle.
    work
        Where journals lie: what was judged before by the same code is read from there.
    workers
        Processes.

    Raises
    ------
    ToolkitError
        When a clip cannot be judged: a card leaves nothing out.
    """
    judged = _Judged(Judge(bundle, work / f"judged-{code_sha256(*CODE_OF_JUDGING)[:12]}", workers))
    found = Findings()
    samples = _sets(exams, judged, found)
    _corpora(exams, judged, found)
    _parts(exams, samples, found)
    _treated(exams, samples, judged, found)
    _points(exams, judged, found, work)
    return found


@dataclass(frozen=True)
class _Judged:
    """Judges clips, and refuses to leave one out."""

    judge: Judge

    def __call__(self, place: Path, clips: Sequence[Clip], treatment: Treatment | None = None) -> Sample:
        """Judge the clips of one place, after a treatment or as they are."""
        name, alter = ("clean", None) if treatment is None else (treatment.name, treatment.alter)
        found = self.judge.judge(place, clips, alter=alter, name=name)
        if failed := [each for each in found if each.failed]:
            raise ToolkitError(f"{failed[0].reasons[0]} ({len(failed)} of {len(found)} clips could not be judged)")
        return sample(found)


def _together(judged: _Judged, exams: Sequence[Exam], treatment: Treatment | None = None) -> dict[str, Sample]:
    """Judge sets that lie in one place all at once, which starts the processes once."""
    clips = {clip.path: clip for exam in exams for clip in exam.clips}
    every = judged(exams[0].place, list(clips.values()), treatment)
    by_path = {found.clip.path: found for found in every.judged}
    return {exam.name: sample(by_path[clip.path] for clip in exam.clips) for exam in exams}


def _sets(exams: Exams, judged: _Judged, found: Findings) -> dict[str, Sample]:
    """Judge every set as it is."""
    places = dict.fromkeys(exam.place for exam in exams.all)
    samples: dict[str, Sample] = {}
    for place in places:
        samples |= _together(judged, [exam for exam in exams.all if exam.place == place and exam.clips])
    for exam in exams.all:
        if exam.name in samples:
            given = samples[exam.name]
            found.add(Where(exam.name), measure(given))
            found.bins[exam.name] = confidence_bins(given)
            found.reasons[exam.name] = _reasons(given)
    for name in ("hybrids", "channel"):
        _splices(name, samples[name], found)
    for name in SELECTIVE:
        found.add(Where(name), selective(samples[name]))
    return samples


def _reasons(given: Sample) -> dict[str, int]:
    reasons = [reason for found in given.judged for reason in found.reasons]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def _splices(name: str, given: Sample, found: Findings) -> None:
    """What becomes of genuine speech that was cut and joined, with genuine speech or processed copies of it."""
    joined = given.only(lambda each: each.clip.label == REAL and has_joins(each.clip))
    where = Where(name, part="genuine splices")
    found.add(where, [share("false_alarms", "genuine splices called fake or hybrid", joined, is_called)])
    called = share("called_hybrid", "genuine splices called hybrid", joined, lambda each: each.label == HYBRID)
    found.add(where, [called])


def _corpora(exams: Exams, judged: _Judged, found: Findings) -> None:
    """False alarms on genuine speech by where it comes from, those that training never met also apart."""
    clips = [clip for corpus in exams.corpora for clip in corpus.clips]
    every = judged(exams.rows.place, clips)
    by_path = {each.clip.path: each for each in every.judged}
    small: list[Judged] = []
    for corpus in exams.corpora:
        own = [by_path[clip.path] for clip in corpus.clips]
        found.add(Where("corpora", corpus_part(corpus.name, corpus.split, corpus.unseen)), shares(sample(own)))
        if corpus.unseen and len(own) < LEAST_GENUINE:
            small += own
    if small:
        found.add(Where("corpora", f"unseen: {SMALLER}"), shares(sample(small)))


def corpus_part(name: str, split: str, unseen: bool) -> str:
    """Name a genuine corpus as a part."""
    return f"{'unseen' if unseen else 'heard'}: {name} ({split})"


def _parts(exams: Exams, samples: Mapping[str, Sample], found: Findings) -> None:
    for exam in exams.all:
        for name, value_of in PROPERTIES.items() if exam.name in samples else ():
            for value, _, figures in parts(samples[exam.name], value_of, fewest=FEWEST_CLIPS):
                found.add(Where(exam.name, f"{name}: {value}"), figures)


def _length(duration_s: float) -> str:
    """Name the band in which a length lies; the names sort by length."""
    low = max((edge for edge in DURATION_S if duration_s >= edge), default=0.0)
    high = min((edge for edge in DURATION_S if duration_s < edge), default=None)
    return f"{low:g} to {high:g} s" if high is not None else f"from {low:g} s"


def _treated(exams: Exams, samples: Mapping[str, Sample], judged: _Judged, found: Findings) -> None:
    """Judge hybrids and genuine rows again after each treatment."""
    genuine = replace(exams.rows, name="genuine", clips=tuple(c for c in exams.rows.clips if c.label == REAL))
    for treatment in treatments():
        exam = [genuine] if treatment.genuine_only else [genuine, exams.hybrids]
        again = _together(judged, exam, treatment)
        where = Where("rows", treatment=treatment.name)
        found.add(where, (each for each in shares(again["genuine"])))
        if not treatment.genuine_only:
            altered = again["hybrids"]
            figures = [*shares(altered), *_verdicts(altered), equal_errors(altered), *located(altered)]
            found.add(Where("hybrids", treatment=treatment.name), [*figures, loss(samples["hybrids"], altered)])


def _verdicts(given: Sample) -> Iterator[Figure]:
    return (figure for figure in verdict_figures(given) if figure.key in ("accuracy", "macro_f1"))


def _points(exams: Exams, judged: _Judged, found: Findings, work: Path) -> None:
    """Judge rows and hybrids at every operating point but the default, which was judged already."""
    bundle = read_bundle(judged.judge.bundle)
    for number, point in enumerate(bundle.operating_points[1:], 1):
        others = tuple(other for other in bundle.operating_points if other != point)
        folder = work / "points" / f"{judged.judge.sha256[:12]}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        for name in (ONNX_NAME, KERAS_NAME):
            shutil.copyfile(bundle.path / name, folder / name)
        write_bundle(replace(bundle, path=folder, operating_points=(point, *others)))
        at_point = _Judged(replace(judged.judge, bundle=folder))
        for name, given in _together(at_point, [exams.rows, exams.hybrids]).items():
            where = Where(name, point=point.name)
            found.add(where, [*shares(given), *_verdicts(given)])
