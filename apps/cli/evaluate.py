"""`script.py evaluate`: how good a model is on a labelled set, with intervals, in parts, and on worse recordings."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.cli.options import add_asv_scores, add_model, add_runtime, asv_of
from audio.errors import ToolkitError, UsageError
from audio.executors import add_executor, workers_of
from audio.manifest import SPLITS, Clip, read_set
from audio.segments import SAMPLE_RATE

if TYPE_CHECKING:
    from model.bundle import Thresholds
    from model.evaluation.figures import Operating, Sample
    from model.evaluation.judged import Judged
    from model.evaluation.report import Evaluation
    from model.evaluation.robustness import Robustness
    from model.evaluation.scoring import Alteration, Judge

HELP = "Say how good a model is on a labelled set: figures with intervals, in parts, and on worse recordings."

EXAMPLE = """\
examples:
  python script.py evaluate --manifest data/mine --model runs/mine
  python script.py evaluate --manifest data/mine --split test_unseen --stress -j 2
  python script.py evaluate --manifest data/LA/manifest.jsonl --threshold-from data/mine --out outputs/la

takes a manifest, a CSV, or a folder. Writes report.html, figures.json, scores.csv and frames.txt.gz (with --stress also
stress.csv, each verdict under each corruption) into --out, and there remembers what was judged, so that a second run
judges only what is new. Thresholds are chosen on the dev split of the set, or on that of another one; to take them from
what is tested is refused.
exit status: 0 ran, 1 a recording could not be judged, 2 wrong usage."""

DEV, NO_THRESHOLD, ALL = "dev", "none", "all"

OUT = Path("outputs")
"""Where reports go unless told otherwise."""

MOST_TOLD = 10
"""So many reasons why recordings could not be judged are told one by one."""

STRESS_SEED = 0
"""What the noises of the corruptions are drawn from."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("--manifest", type=Path, required=True, metavar="SET", help="manifest, CSV, or folder of the labelled set")
    add_model(parser)
    add("--split", metavar="NAME", help=f"{', '.join(SPLITS)} or {ALL} (default: test; all where there are no splits)")
    add(
        "--threshold-from",
        default=DEV,
        metavar="WHERE",
        help=f"a split of the set, another set (its dev split, or all of it), or '{NO_THRESHOLD}' (default: {DEV})",
    )
    add_asv_scores(parser)
    add_runtime(parser)
    add("--out", type=Path, metavar="DIR", help=f"folder for the report (default: {OUT}/evaluation-NAME-SPLIT)")
    add("--stress", action="store_true", help="judge the set again under each of the fixed corruptions")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    add_executor(parser, default=1)
    add("--resamples", type=int, default=1_000, metavar="N", help="of the bootstrap (default: 1000)")


def run(arguments: argparse.Namespace) -> int:
    """Judge, compute and write; return 0, or 1 when a recording could not be judged.

    Raises
    ------
    UsageError
        For a split that is not there, or a threshold from the set that is tested.
    ToolkitError
        As `model.evaluation.scoring.Judge`, and when the report cannot be written.
    """
    from model.bundle import find_bundle
    from model.evaluation.breakdown import break_down
    from model.evaluation.figures import sample, summarise
    from model.evaluation.report import Evaluation, evaluation_text, own_warnings
    from model.evaluation.scoring import Judge

    place, everything = read_set(arguments.manifest)
    split, clips = chosen(everything, arguments.split)
    out = arguments.out or OUT / f"evaluation-{set_name(place)}-{split}"
    asv = asv_of(arguments.asv_scores)
    judge = Judge(find_bundle(arguments.model), out, workers_of(arguments), arguments.runtime)
    operating = _operating(arguments, place, everything, clips, judge)
    given = sample(_told(judge.judge(place, clips)), n_resamples=arguments.resamples)
    stress, lost = _stress(given, place, judge, operating) if arguments.stress else ([], [])
    found = Evaluation(
        name=f"{set_name(place)}, {split}",
        facts=_facts(arguments, judge, clips),
        sample=given,
        figures=tuple(summarise(given, operating, asv=asv)),
        operating=operating,
        breakdowns=tuple(break_down(given, operating)),
        stress=tuple(stress),
        warnings=(*own_warnings(given), *shared_warnings(everything, clips), *lost),
    )
    _write(out, found)
    print(json.dumps(found.to_json(), allow_nan=False) if arguments.json else evaluation_text(found), flush=True)
    _log.info("report: %s", out / "report.html")
    return 1 if any(each.failed for each in given.judged) else 0


def set_name(place: Path) -> str:
    """Name a set after its folder, or its file where that says more."""
    absolute = place.resolve()
    if absolute.is_dir():
        return absolute.name
    return absolute.parent.name if absolute.stem == "manifest" else absolute.stem


def chosen(clips: Sequence[Clip], split: str | None) -> tuple[str, list[Clip]]:
    """Return the name of the split that is meant, and its clips.

    Raises
    ------
    UsageError
        When the set has no clip in it.
    """
    known = [name for name in SPLITS if any(clip.split == name for clip in clips)]
    name = split or ("test" if known else ALL)
    kept = [clip for clip in clips if name == ALL or clip.split == name]
    if not kept:
        received = ", ".join(known) or "none"
        raise UsageError(f"--split: expected one with clips (the set has {received}) or {ALL}, received {name!r}")
    return name, kept


def shared_warnings(everything: Sequence[Clip], tested: Sequence[Clip]) -> list[str]:
    """Warn of clips that are no test clips, and of speakers that training or dev had too, if the set says so."""
    others = [clip for clip in everything if clip.split in ("train", "dev")]
    paths = {clip.path for clip in tested}
    said = []
    if seen := sorted({clip.split for clip in others if clip.path in paths}):
        said.append(f"{' and '.join(seen)} clips are among those tested: these are no test figures")
    speakers = {c.speaker for c in tested} & {c.speaker for c in others if c.path not in paths} - {""}
    if speakers:
        counted = f"{len(speakers)} speaker{'s' * (len(speakers) > 1)}"
        said.append(f"{counted} of the tested clips also in train or dev: the figures flatter")
    return said


def _operating(
    arguments: argparse.Namespace, place: Path, everything: list[Clip], tested: list[Clip], judge: Judge
) -> Operating | None:
    """Choose thresholds where `--threshold-from` says."""
    from model.evaluation.figures import sample
    from model.evaluation.operating import check_apart, operating_from

    where = arguments.threshold_from
    if where == NO_THRESHOLD:
        return None
    if where in SPLITS:
        source, other, clips = where, place, [clip for clip in everything if clip.split == where]
        if not clips:
            raise UsageError(
                f"--threshold-from: the set has no {where} split. Expected another set, for example the one that the"
                f" model was trained on, or '{NO_THRESHOLD}', received {where!r}"
            )
    else:
        other, given = read_set(where)
        clips = [clip for clip in given if clip.split == DEV] or given
        if not clips:
            raise UsageError(f"--threshold-from: expected a set with clips, received {where}, which has none")
        source = f"{set_name(other)}, {DEV}" if clips[0].split == DEV else set_name(other)
    check_apart((place, tested), (other, clips))
    return operating_from(sample(_told(judge.judge(other, clips)), n_resamples=1), source=source, calibrated=True)


def _told(judged: list[Judged]) -> list[Judged]:
    """Say on stderr why recordings could not be judged."""
    reasons = list(dict.fromkeys("; ".join(found.reasons) for found in judged if found.failed))
    for reason in reasons[:MOST_TOLD]:
        _log.error("error: %s", reason)
    if len(reasons) > MOST_TOLD:
        _log.error("error: and %d more like these", len(reasons) - MOST_TOLD)
    return judged


def _stress(
    given: Sample, place: Path, judge: Judge, operating: Operating | None
) -> tuple[list[Robustness], list[str]]:
    """Judge what could be judged again, under each corruption; say what could not be judged then."""
    from apps.stress import CORRUPTIONS, Stress
    from model.evaluation.figures import sample
    from model.evaluation.robustness import compare

    clean = given.only(lambda found: not found.failed)
    clips = [found.clip for found in clean.judged]
    found, lost = [], []
    alterations: dict[str, tuple[str, Alteration]] = {
        name: (corruption.words, Stress(name, STRESS_SEED)) for name, corruption in CORRUPTIONS.items()
    }
    for name, (words, alter) in {**alterations, **_perturbation(judge)}.items():
        judged = _told(judge.judge(place, clips, alter=alter, name=name))
        again = sample(judged, n_resamples=given.n_resamples)
        found.append(compare(clean, again, name=name, words=words, operating=operating))
        if failed := sum(each.failed for each in judged):
            lost.append(f"{failed} of {len(clips)} clips could not be judged after the corruption {name}")
    return found, lost


def _perturbation(judge: Judge) -> Mapping[str, tuple[str, Alteration]]:
    """The gradient-sign step, where TensorFlow and the Keras model are at hand."""
    try:
        from model.training.perturb import EPSILON_DB, Perturber

        perturber = Perturber(judge.bundle)
    except (ImportError, ToolkitError) as error:
        _log.warning("no gradient-sign perturbation: %s", error)
        return {}
    words = f"each sample moved by {EPSILON_DB:g} dB of the RMS to where the model errs (FGSM)"
    return {"gradient_sign": (words, perturber)}


def _facts(arguments: argparse.Namespace, judge: Judge, clips: Sequence[Clip]) -> dict[str, str]:
    """Say what a second person needs to make the same figures."""
    import platform
    from hashlib import sha256

    from model.bundle import read_bundle

    bundle = read_bundle(judge.bundle)
    point = bundle.operating_point()
    paths = sha256("\n".join(f"{clip.path} {clip.label}" for clip in clips).encode()).hexdigest()
    return {
        "command": f"python script.py evaluate {_as_typed(arguments)}",
        "model": bundle.name,
        "bundle SHA-256": judge.sha256,
        "set": f"{len(clips)} clips; SHA-256 of their paths and labels {paths}",
        "operating point": point.name,
        "span thresholds": f"{_words(point.thresholds)}; from the bundle",
        "Python": platform.python_version(),
    }


def _words(thresholds: Thresholds) -> str:
    gap_s, fake_s = (n / SAMPLE_RATE for n in (thresholds.min_gap_samples, thresholds.min_fake_samples))
    inside = f"a span opens at {thresholds.enter:g} and goes on from {thresholds.exit:g}"
    return f"{inside}; gaps below {gap_s:g} s are closed, then spans below {fake_s:g} s dropped"


def _as_typed(arguments: argparse.Namespace) -> str:
    """The arguments as one would type them, without paths above the working folder."""
    import shlex

    named = {"manifest": near(arguments.manifest), "model": arguments.model and near(arguments.model)}
    where = arguments.threshold_from
    source = where if where in (*SPLITS, NO_THRESHOLD) else near(Path(where))
    named |= {"asv-scores": arguments.asv_scores and near(arguments.asv_scores)}
    named |= {"split": arguments.split, "threshold-from": None if where == DEV else source}
    told = [f"--{name} {shlex.quote(value)}" for name, value in named.items() if value is not None]
    named_runtime = [] if arguments.runtime is None else [f"--runtime {arguments.runtime}"]
    resamples = [] if arguments.resamples == 1_000 else [f"--resamples {arguments.resamples}"]
    return " ".join([*told, *named_runtime, *(["--stress"] if arguments.stress else []), *resamples])


def near(path: Path) -> str:
    """A path below the working folder, or the last name of any other: a report is given to strangers."""
    absolute, folder = path.resolve(), Path.cwd()
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else absolute.name


def _write(out: Path, found: Evaluation) -> None:
    from model.evaluation.report import write_figures, write_report, write_verdicts
    from model.evaluation.scorefiles import write_frame_scores, write_scores

    try:
        write_figures(out / "figures.json", found)
        write_scores(out / "scores.csv", found.sample.judged)
        write_frame_scores(out / "frames.txt.gz", found.sample.judged)
        if found.stress:
            write_verdicts(out / "stress.csv", found)
    except OSError as error:
        raise ToolkitError(f"{out}: the evaluation cannot be written: {error.strerror}") from None
    write_report(out / "report.html", found)
