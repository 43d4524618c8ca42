"""`script.py metrics`: the same figures for anybody's score file."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from apps.cli.options import add_asv_scores, asv_of
from audio.errors import ToolkitError, UsageError
from audio.labels import FAKE, REAL
from audio.manifest import Clip

if TYPE_CHECKING:
    from model.evaluation.figures import Operating
    from model.evaluation.judged import Judged
    from model.evaluation.report import Evaluation

HELP = "Compute every figure from a score file and a label file, of any system."

EXAMPLE = """\
examples:
  python script.py metrics --scores scores.txt --labels ASVspoof2019.LA.cm.eval.trl.txt --higher real
  python script.py metrics --scores frames.txt.gz --labels label_test.txt --higher fake --out outputs/theirs
  python script.py metrics --scores test.txt --labels test.csv --higher fake --dev-scores dev.txt --dev-labels dev.csv

Scores: lines of an id and a score, the ASVspoof forms, frames as 'name start end score', a CSV with the columns real,
fake, hybrid, results of 'detect --json', or .npz. Labels: a manifest, a CSV, a folder, or the protocol files of
ASVspoof, In-the-Wild, PartialSpoof, LlamaPartialSpoof and Half-truth. Both kinds are recognised by their first line.
--higher says which class high scores speak for, unless the format settles it. Thresholds come from --dev-scores and
--dev-labels; none are chosen on what is tested. actDCF and Cllr take the scores for log-likelihood ratios."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("--scores", type=Path, required=True, metavar="FILE", help="what a system says")
    add("--labels", type=Path, required=True, metavar="FILE", help="what is true")
    add("--higher", choices=(FAKE, REAL), help="the class that high scores speak for")
    add("--dev-scores", type=Path, metavar="FILE", help="scores of another set, to choose thresholds on")
    add("--dev-labels", type=Path, metavar="FILE", help="its labels")
    add_asv_scores(parser)
    add("--hop-ms", type=float, metavar="MS", help="time between two frames, for .npz files that do not say")
    add("--allow-missing", action="store_true", help="leave out scores without labels, and labels without scores")
    add("--out", type=Path, metavar="DIR", help="folder for report.html and figures.json")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    add("--resamples", type=int, default=1_000, metavar="N", help="of the bootstrap (default: 1000)")


def run(arguments: argparse.Namespace) -> int:
    """Compute, print, and write if asked to; return 0.

    Raises
    ------
    UsageError
        For scores and labels that do not belong together, unknown polarity, or the tested scores as dev scores.
    ToolkitError
        When a file cannot be read, or the report cannot be written.
    """
    from model.evaluation.breakdown import break_down
    from model.evaluation.figures import sample, summarise
    from model.evaluation.operating import with_spans
    from model.evaluation.report import Evaluation, evaluation_text, own_warnings

    judged, notes = _joined(arguments, arguments.scores, arguments.labels)
    operating = _operating(arguments, judged)
    if (threshold := operating.frame_threshold) is not None:
        judged = [with_spans(found, threshold) for found in judged]
    given = sample(judged, n_resamples=arguments.resamples)
    found = Evaluation(
        name=f"{arguments.scores.name} against {arguments.labels.name}",
        facts=_facts(arguments, notes),
        sample=given,
        figures=tuple(summarise(given, operating, asv=asv_of(arguments.asv_scores))),
        operating=operating,
        breakdowns=tuple(break_down(given, operating)),
        warnings=tuple(own_warnings(given)),
    )
    for note in notes:
        _log.info("note: %s", note)
    print(json.dumps(found.to_json(), allow_nan=False) if arguments.json else evaluation_text(found), flush=True)
    if arguments.out is not None:
        _write(arguments.out, found)
        _log.info("report: %s", arguments.out / "report.html")
    return 0


def _operating(arguments: argparse.Namespace, tested: list[Judged]) -> Operating:
    """Choose thresholds on the dev scores, if there are any; none of their clips is tested."""
    from model.evaluation.figures import Operating, sample
    from model.evaluation.operating import operating_from

    scores, labels = arguments.dev_scores, arguments.dev_labels
    if (scores is None) != (labels is None):
        raise UsageError("--dev-scores and --dev-labels: expected both or none, received one")
    if scores is None:
        return Operating("")
    if scores.resolve() == arguments.scores.resolve():
        raise UsageError(f"--dev-scores: expected another set than the one that is tested, received {scores} for both")
    judged, _ = _joined(arguments, scores, labels)
    if shared := {found.clip.path for found in judged} & {found.clip.path for found in tested}:
        said = f"expected clips that are not tested, received {len(shared)} that are, for example {min(shared)}"
        raise UsageError(f"--dev-scores: {said}")
    return operating_from(sample(judged, n_resamples=1), source=scores.name, calibrated=False)


def _joined(
    arguments: argparse.Namespace, scores_path: Path, labels_path: Path
) -> tuple[list[Judged], tuple[str, ...]]:
    """Read scores and labels, and join them."""
    from audio.segments import SAMPLE_RATE
    from model.evaluation.joining import join
    from model.evaluation.scorefiles import read_scores

    hop_samples = None if arguments.hop_ms is None else round(arguments.hop_ms * SAMPLE_RATE / 1_000)
    scores = read_scores(scores_path, hop_samples=hop_samples)
    clips, notes = _labels(labels_path)
    rows, more = join(scores, clips, higher_is=arguments.higher, allow_missing=arguments.allow_missing)
    return rows, (f"{scores_path.name}: {scores.kind}", *scores.notes, *notes, *more)


def _labels(path: Path) -> tuple[Mapping[str, Clip], tuple[str, ...]]:
    """Read labels from a set or a label file; clips by id, and notes."""
    from audio.corpora import read_keys
    from audio.manifest import read_set

    if path.is_dir():
        _, clips = read_set(path)
        return {clip.path: clip for clip in clips}, ()
    keys = read_keys(path)
    return keys.clips, (f"{path.name}: {keys.kind}", *keys.notes)


def _facts(arguments: argparse.Namespace, notes: tuple[str, ...]) -> dict[str, str]:
    """Say what a second person needs to make the same figures."""
    from audio.digest import file_sha256

    files = {"scores": arguments.scores, "labels": arguments.labels}
    files |= {"dev scores": arguments.dev_scores, "dev labels": arguments.dev_labels, "ASV": arguments.asv_scores}
    told = {f"{name} SHA-256": f"{file_sha256(path)} {path.name}" for name, path in files.items() if _is_file(path)}
    return {**told, "notes": "; ".join(notes)}


def _is_file(path: Path | None) -> bool:
    return path is not None and path.is_file()


def _write(out: Path, found: Evaluation) -> None:
    from model.evaluation.report import write_figures, write_report

    try:
        write_figures(out / "figures.json", found)
    except OSError as error:
        raise ToolkitError(f"{out / 'figures.json'}: the figures cannot be written: {error.strerror}") from None
    write_report(out / "report.html", found)
