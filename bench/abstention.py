"""`python -m bench.abstention`: where a model begins to fail, and the limits below which it should not judge.

Judges the clips of a labelled set as they are and made worse step by step (`bench.worsened`), whatever limits the
bundle has, and measures what each recording is like (`model.judging.quality`). Then it says, for each rule of
`model.judging.abstain`:

- the risk (share of wrong verdicts of three) and the real/fake EER in bands of the fact that the rule looks at;
- the limit that `--risk` asks for. **The rule**: of the clips as they are and as the rule's own steps leave them, each
  counted once, the limit is the one that refuses fewest and leaves a risk of at most `--risk` among those that are
  judged. No limit is set where none is needed, or none is enough;
- what that limit costs: the share refused of the genuine, fake and hybrid clips as they are.

So the limit depends on the steps as well as on the model: look at the bands before you take it. `--risk` must lie above
the risk of the clean clips; without it, it is twice that, and at least 0.1. Tables in Markdown, `abstention.json` and,
with matplotlib, `abstention.png` in `--out`. A second run judges only what is new.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from apps.cli.evaluate import ALL, chosen, set_name
from audio import jobs
from audio.atomic import replacing
from audio.cleaning import speech_frames
from audio.digest import file_sha256
from audio.errors import ToolkitError, UsageError
from audio.labels import FAKE, LABELS, REAL, label_index
from audio.manifest import Clip, read_set, resolve
from audio.reading import read
from bench.worsened import CLEAN, LADDERS, Grade
from model import metrics
from model.bundle import CARD_NAME, Bundle, find_bundle, read_bundle
from model.judging.abstain import CAREFUL, RULES, Limits, Rule, reasons
from model.judging.detector import Detector, conclude
from model.judging.quality import Quality, measure

VERSION = 1
"""Version of the journal's rows and of `abstention.json`."""

OUT = Path("outputs")
"""Where results go unless told otherwise."""

EDGES: Mapping[str, tuple[float, ...]] = {
    "n_samples": (0, 16_000, 32_000, 64_000, 128_000, math.inf),
    "speech_samples": (0, 8_000, 16_000, 32_000, 64_000, math.inf),
    "music_share": (0.0, 0.01, 0.2, 0.4, 0.6, 0.8, math.inf),
    "clipped_share": (0.0, 0.003, 0.01, 0.02, 0.05, 0.1, math.inf),
    "bandwidth_hz": (0, 1_500, 2_000, 2_750, 3_750, 5_000, 6_500, math.inf),
    "snr_db": (-math.inf, -3.0, 0.0, 3.0, 6.0, 10.0, 15.0, 20.0, 30.0, math.inf),
}
"""Where the bands of each fact begin and end; a band has its lower edge and not its upper one."""

LEAST_RISK = 0.1
"""What `--risk` is at least unless it is given: one verdict in ten wrong."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Heard:
    """One recording at one grade: what is true, what it is like, and what the model says of it."""

    path: str
    label: str
    grade: Grade
    quality: Quality
    probabilities: tuple[float, ...] | None
    """P(real), P(fake), P(hybrid); None where the model had nothing to go by."""
    verdict: str | None

    @property
    def is_judged(self) -> bool:
        """Whether there is a verdict at all."""
        return self.probabilities is not None

    @property
    def is_wrong(self) -> bool:
        """Whether there is a verdict other than the truth."""
        return self.is_judged and self.verdict != self.label

    @property
    def confidence(self) -> float:
        """How sure the model is of its verdict."""
        return max(self.probabilities or (0.0,))


@dataclass(frozen=True)
class Choice:
    """The limit of one rule, and what it does on the clips as they are and on the rule's own steps."""

    rule: Rule
    limit: float | None
    words: str
    """Why there is a limit, or none."""
    coverage: float
    risk: float
    """Of what is judged with the limit."""
    risk_refused: float | None
    """Of what is refused; None where nothing is. Not above `risk` means that the rule picks the wrong clips."""


# Listening


@dataclass(frozen=True)
class Listen:
    """`process(clip) -> rows`: one clip at every grade."""

    bundle: Path
    sha256: str
    place: Path
    grades: tuple[Grade, ...]

    def key(self, clip: Clip) -> str:
        """Name a clip by path and content."""
        return f"{clip.path} {file_sha256(resolve(self.place, clip))[:16]}"

    def __call__(self, clip: Clip) -> list[jobs.Row]:
        """Read, worsen, measure and judge."""
        samples = read(resolve(self.place, clip))
        return [self._row(grade, grade.worsen(samples, name=clip.path)) for grade in self.grades]

    def _row(self, grade: Grade, samples: Any) -> jobs.Row:
        bundle, detector = _loaded(self.bundle, self.sha256)
        quality = measure(samples, speech_frames(samples))
        row = {"rule": grade.rule, "amount": grade.amount, "quality": quality.to_json()}
        # Not `detect`: that stops at the limits of the bundle, and here is asked what they should be.
        found = detector.evidence(samples)
        if found is None:
            return {**row, "verdict": None, "probabilities": None}
        point, hop = bundle.operating_point(), bundle.frame_hop_samples
        verdict = conclude(found, bundle.calibration, point, hop_samples=hop, n_samples=len(samples))
        return {**row, "verdict": verdict.label, "probabilities": verdict.probabilities.tolist()}


@lru_cache(maxsize=1)
def _loaded(bundle: Path, sha256: str) -> tuple[Bundle, Detector]:
    """The model, loaded once in each process."""
    return read_bundle(bundle), Detector(bundle)


def listen(
    place: Path, clips: Sequence[Clip], bundle: Path, *, grades: Sequence[Grade], folder: Path | None, workers: int = 1
) -> tuple[list[Heard], list[str]]:
    """Hear every clip at every grade; return what was heard, and the messages of clips that could not be."""
    sha256 = file_sha256(bundle / CARD_NAME)
    process = Listen(bundle, sha256, place, tuple(grades))
    settings = f"{VERSION} {sha256} {[(grade.rule, grade.amount) for grade in grades]}"
    journal = None if folder is None else folder / f"abstention-{VERSION}-{sha256[:12]}.jsonl"
    found = jobs.run(
        process, clips, key=process.key, workers=workers, journal=journal, title="judging", settings=settings
    )
    heard, lost = [], []
    for clip, rows in zip(clips, found, strict=True):
        if "error" in rows[0]:
            lost.append(rows[0]["error"])
        else:
            heard += [_heard(clip, row) for row in rows]
    return heard, lost


def _heard(clip: Clip, row: jobs.Row) -> Heard:
    probabilities = None if row["probabilities"] is None else tuple(row["probabilities"])
    grade, quality = Grade(row["rule"], row["amount"]), Quality(**row["quality"])
    return Heard(clip.path, clip.label, grade, quality, probabilities, row["verdict"])


# Figures


def risk(heard: Sequence[Heard]) -> float | None:
    """Return the share of wrong verdicts among those given; None for none."""
    judged = [each for each in heard if each.is_judged]
    return sum(each.is_wrong for each in judged) / len(judged) if judged else None


def real_fake_eer(heard: Sequence[Heard]) -> float | None:
    """Return the EER between genuine and fake clips, hybrids left out; None without both."""
    asked = [each for each in heard if each.probabilities is not None and each.label in (REAL, FAKE)]
    scores = [1.0 - each.probabilities[label_index(REAL)] for each in asked if each.probabilities is not None]
    return metrics.equal_error_rate([each.label == FAKE for each in asked], scores)


def of_rule(heard: Sequence[Heard], rule: Rule) -> list[Heard]:
    """Return the clips as they are, and as the rule's own steps leave them."""
    return [each for each in heard if each.grade.rule in (CLEAN.rule, rule.reason)]


def by_band(heard: Sequence[Heard], rule: Rule) -> list[dict[str, Any]]:
    """Return clips, risk and EER in each band of the rule's fact, empty bands left out."""
    facts = [(getattr(each.quality, rule.fact), each) for each in heard]
    rows = []
    for low, high in pairwise(EDGES[rule.fact]):
        part = [each for fact, each in facts if fact is not None and low <= fact < high]
        if part:
            n_judged = sum(each.is_judged for each in part)
            rows.append(_row(part) | {"from": _finite(low), "to": _finite(high), "judged": n_judged})
    return rows


def by_grade(heard: Sequence[Heard], rule: Rule) -> list[dict[str, Any]]:
    """Return the median of the rule's fact, risk and EER at each of its steps, the clean clips first."""
    rows = []
    for grade in (CLEAN, *LADDERS.get(rule.reason, ())):
        part = [each for each in heard if each.grade == grade]
        facts = [fact for each in part if (fact := getattr(each.quality, rule.fact)) is not None]
        if part:
            rows.append({"words": grade.words, "median": float(np.median(facts)) if facts else None, **_row(part)})
    return rows


def _row(part: Sequence[Heard]) -> dict[str, Any]:
    return {"clips": len(part), "risk": risk(part), "eer": real_fake_eer(part)}


def _finite(edge: float) -> float | None:
    return edge if math.isfinite(edge) else None


def choose(heard: Sequence[Heard], rule: Rule, *, most_risk: float) -> Choice:
    """Choose the limit of one rule: the one that refuses fewest and leaves a risk of at most `most_risk`.

    Parameters
    ----------
    heard
        what the limit is chosen on, at least one clip with a verdict.
    rule
        one that looks at a fact of the recording.
    most_risk
        0 to 1.

    Raises
    ------
    UsageError
        Without a verdict.
    """
    judged = [each for each in heard if each.is_judged]
    before = risk(judged)
    if before is None:
        raise UsageError(f"{rule.reason}: expected clips with a verdict, received none")
    if before <= most_risk:
        return Choice(rule, None, "not needed", 1.0, before, None)
    sign = 1.0 if rule.limit.startswith("least") else -1.0
    facts = [getattr(each.quality, rule.fact) for each in judged]
    goodness = [math.inf if fact is None else sign * fact for fact in facts]
    threshold = metrics.threshold_at_risk(goodness, [each.is_wrong for each in judged], risk=most_risk)
    if threshold is None or math.isinf(threshold):
        return Choice(rule, None, "no limit is enough", 1.0, before, None)
    kept = [each for each, good in zip(judged, goodness, strict=True) if good >= threshold]
    refused = [each for each, good in zip(judged, goodness, strict=True) if good < threshold]
    return Choice(rule, sign * threshold, "chosen", len(kept) / len(judged), risk(kept) or 0.0, risk(refused))


def combined(choices: Sequence[Choice]) -> Limits:
    """Return the chosen limits; length and speech stay as they are by default."""
    return Limits.from_json({choice.rule.limit: choice.limit for choice in choices})


def applied(heard: Sequence[Heard], limits: Limits) -> dict[str, Any]:
    """Say what limits do to some clips: who is refused, and the risk and the curve of what is left."""
    given = [(each, reasons(each.quality, limits)) for each in heard]
    kept = [each for each, why in given if each.is_judged and not why]
    shares = {label: _share([bool(why) for each, why in given if each.label == label]) for label in LABELS}
    return {
        "clips": len(heard),
        "judged": len(kept),
        "coverage": len(kept) / len(heard) if heard else None,
        "refused": shares,
        "refused_for": {rule.reason: sum(rule.reason in why for _, why in given) for rule in RULES},
        "risk": risk(kept),
        "eer": real_fake_eer(kept),
        "aurc": metrics.area_under_risk_coverage(*_sureness(kept)),
    }


def _share(marks: Sequence[bool]) -> float | None:
    return sum(marks) / len(marks) if marks else None


def _sureness(heard: Sequence[Heard]) -> tuple[list[float], list[bool]]:
    judged = [each for each in heard if each.is_judged]
    return [each.confidence for each in judged], [each.is_wrong for each in judged]


def report(heard: Sequence[Heard], *, most_risk: float | None) -> dict[str, Any]:
    """Return everything that is printed and drawn.

    Raises
    ------
    UsageError
        When no clean clip has a verdict, or `most_risk` lies below the risk of those.
    """
    clean = [each for each in heard if each.grade == CLEAN]
    at_best = risk(clean)
    if at_best is None:
        raise UsageError("expected clips that the model has a verdict on, received none")
    allowed = max(LEAST_RISK, 2.0 * at_best) if most_risk is None else most_risk
    if allowed < at_best:
        raise UsageError(f"--risk: expected at least that of the clean clips, {at_best:.3f}, received {allowed:g}")
    choices = [choose(of_rule(heard, rule), rule, most_risk=allowed) for rule in RULES if rule.reason in LADDERS]
    limits = combined(choices)
    tried = {"none": Limits(), "chosen": limits, "careful": CAREFUL}
    return {
        "schema_version": VERSION,
        "most_risk": allowed,
        "limits": limits.to_json(),
        "rules": {choice.rule.reason: _told(choice, heard) for choice in choices},
        "length": {rule.fact: by_band(clean, rule) for rule in RULES if rule.reason not in LADDERS},
        "clean": {name: applied(clean, given) for name, given in tried.items()},
        "all": {name: applied(heard, given) for name, given in tried.items()},
        "coverage_at_risk": {
            name: metrics.coverage_at_risk(*_sureness(part), risk=allowed)
            for name, part in (("clean", clean), ("all", heard))
        },
    }


def _told(choice: Choice, heard: Sequence[Heard]) -> dict[str, Any]:
    """One rule, for JSON."""
    own = of_rule(heard, choice.rule)
    figures = ("limit", "words", "coverage", "risk", "risk_refused")
    return {
        "fact": choice.rule.fact,
        **{name: getattr(choice, name) for name in figures},
        "bands": by_band(own, choice.rule),
        "grades": by_grade(own, choice.rule),
    }


# Printing


def tables(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables in Markdown."""
    yield f"risk: share of wrong verdicts (real, fake, hybrid); at most {found['most_risk']:.3f} is asked for\n"
    for reason, rule in found["rules"].items():
        limit = "none" if rule["limit"] is None else f"{rule['limit']:.4g}"
        yield f"### {reason}: limit of {rule['fact']}: {limit} ({rule['words']})\n"
        if rule["limit"] is not None:
            yield (
                f"judged {_percent(rule['coverage'])} of the clean and worsened clips at a risk of "
                f"{_number(rule['risk'])}; of the refused it was {_number(rule['risk_refused'])}\n"
            )
        yield from _bands(rule["fact"], rule["bands"])
        yield "| step | median | clips | risk | real/fake EER |\n|---|---|---|---|---|"
        for row in rule["grades"]:
            told = (row["words"], _number(row["median"]), row["clips"], _number(row["risk"]), _number(row["eer"]))
            yield "| " + " | ".join(map(str, told)) + " |"
        yield ""
    for fact, bands in found["length"].items():
        yield f"### {fact}, clips as they are\n"
        yield from _bands(fact, bands)
    yield from _limits(found)


def _bands(fact: str, bands: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"| {fact} from | to | clips | judged | risk | real/fake EER |\n|---|---|---|---|---|---|"
    for row in bands:
        edges = [("" if row[end] is None else f"{row[end]:g}") for end in ("from", "to")]
        told = (*edges, row["clips"], row["judged"], _number(row["risk"]), _number(row["eer"]))
        yield "| " + " | ".join(map(str, told)) + " |"
    yield ""


def _limits(found: Mapping[str, Any]) -> Iterator[str]:
    """What the limits do together; `careful` are the defaults for a model that nobody has measured."""
    head = ("clips", "limits", "judged", *(f"refused {label}" for label in LABELS), "risk", "real/fake EER", "AURC")
    yield "| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|"
    for part in ("clean", "all"):
        for name, row in found[part].items():
            shares = [_percent(row["refused"][label]) for label in LABELS]
            told = (part, name, _percent(row["coverage"]), *shares, *(_number(row[k]) for k in ("risk", "eer", "aurc")))
            yield "| " + " | ".join(told) + " |"
    shares = found["coverage_at_risk"]
    yield (
        f"\nby its own confidence alone, at that risk, the model could judge {_percent(shares['clean'])} of the clean "
        f"clips with a verdict, and {_percent(shares['all'])} of all"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def draw(path: Path, heard: Sequence[Heard], found: Mapping[str, Any]) -> None:
    """Draw the curve of risk over coverage, and the risk by band of each fact, as PNG.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0 * (1 + len(found["rules"])), 3.6), layout="constrained")
    axes = figure.subplots(1, 1 + len(found["rules"]))
    _draw_curves(axes[0], heard, found)
    for axis, (reason, rule) in zip(axes[1:], found["rules"].items(), strict=True):
        bands = [row for row in rule["bands"] if row["risk"] is not None]
        names = [("below" if row["from"] is None else f"{row['from']:g}") for row in bands]
        axis.bar(range(len(bands)), [row["risk"] for row in bands], color="#4878a8")
        axis.axhline(found["most_risk"], color="black", linestyle=":", linewidth=1)
        axis.set(title=reason, xlabel=f"{rule['fact']}, from", ylabel="risk", ylim=(0, 1))
        axis.set_xticks(range(len(bands)), names, rotation=45)
    with replacing(path) as beside:
        FigureCanvasAgg(figure).print_png(beside)


def _draw_curves(axis: Any, heard: Sequence[Heard], found: Mapping[str, Any]) -> None:
    limits = Limits.from_json(found["limits"])
    clean = [each for each in heard if each.grade == CLEAN]
    kept = [each for each in heard if not reasons(each.quality, limits)]
    for name, part, whole in (("clean", clean, clean), ("all", heard, heard), ("all, with the limits", kept, heard)):
        curve = metrics.risk_coverage(*_sureness(part))
        if curve is not None:
            share = sum(each.is_judged for each in part) / len(whole)
            axis.plot(share * curve.coverage, curve.risk, label=name)
    axis.axhline(found["most_risk"], color="black", linestyle=":", linewidth=1)
    axis.set(title="by confidence", xlabel="coverage", ylabel="risk", xlim=(0, 1), ylim=(0, None))
    axis.legend()


# The command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; return 0, 1 when a recording could not be judged, or 2 for wrong usage."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except ToolkitError as error:
        _log.error("error: %s", error)
        return 2 if isinstance(error, UsageError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.abstention", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--manifest", type=Path, required=True, metavar="SET", help="manifest, CSV, or folder of the labelled set")
    add("--model", type=Path, metavar="BUNDLE", help="folder of a model (default: shipped, else newest run)")
    add("--split", metavar="NAME", help=f"split to judge, or {ALL} (default: dev, as limits are chosen on it)")
    add("--clips", type=int, metavar="N", help="no more clips than this, evenly spread (default: all)")
    add("--risk", type=float, metavar="R", help="greatest risk of what is judged, 0 to 1 (default: see above)")
    add("--out", type=Path, metavar="DIR", help=f"folder for the results (default: {OUT}/abstention-NAME-SPLIT)")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    add("-j", "--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.risk is not None and not 0.0 <= options.risk <= 1.0:
        raise UsageError(f"--risk: expected 0 to 1, received {options.risk:g}")
    place, everything = read_set(options.manifest)
    has_dev = any(clip.split == "dev" for clip in everything)
    split, clips = chosen(everything, options.split or ("dev" if has_dev else None))
    out = options.out or OUT / f"abstention-{set_name(place)}-{split}"
    bundle = read_bundle(find_bundle(options.model)).path
    grades = (CLEAN, *(grade for ladder in LADDERS.values() for grade in ladder))
    some = _some(clips, options.clips)
    heard, lost = listen(place, some, bundle, grades=grades, folder=out, workers=options.workers)
    for message in lost:
        _log.error("error: %s", message)
    found = report(heard, most_risk=options.risk)
    print(json.dumps(found, allow_nan=False) if options.json else "\n".join(tables(found)), flush=True)
    _write(out, heard, found)
    return 1 if lost else 0


def _some(clips: Sequence[Clip], most: int | None) -> list[Clip]:
    """Return `most` clips, evenly spread over the set; all where it is None."""
    if most is None or most >= len(clips):
        return list(clips)
    if most < 1:
        raise UsageError(f"--clips: expected 1 or more, received {most}")
    return [clips[i * len(clips) // most] for i in range(most)]


def _write(out: Path, heard: Sequence[Heard], found: Mapping[str, Any]) -> None:
    with replacing(out / "abstention.json") as beside:
        beside.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    try:
        draw(out / "abstention.png", heard, found)
    except ImportError:
        _log.warning("no picture: pip install matplotlib")
    _log.info("results: %s", out)


if __name__ == "__main__":
    sys.exit(main())
