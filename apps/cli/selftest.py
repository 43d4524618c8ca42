"""`script.py selftest`: splice the user's own recordings, judge them, and say what was recovered."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.cli.options import add_model, add_operating_point
from audio.errors import ToolkitError, UsageError
from audio.executors import add_executor, workers_of

if TYPE_CHECKING:
    from apps.selftest import Judged

HELP = "Splice genuine recordings of yours with the engines at hand, and see what the model finds of it."

EXAMPLE = """\
examples:
  python script.py selftest --real archive/genuine
  python script.py selftest --real genuine --clips 300 --engines world,lpc --out mine

Folders in DIR are taken for speakers. The clips, with their true spans, stay in --out, beside recovery.png. Fakes of
these engines are easier or harder than those that somebody will send you: a good result says that the model copes with
your voices and rooms, and no more."""

OUTPUTS = Path("outputs/selftest")

PICTURE = "recovery.png"

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("--real", type=Path, required=True, metavar="DIR", help="genuine recordings, eight or more")
    add("--clips", type=int, default=90, metavar="N", help="how many, a third of each class (default: %(default)s)")
    add("--engines", default="", metavar="A,B", help="what makes the fakes (default: all that copy and are installed)")
    add("--seed", type=int, default=0, metavar="N", help="of the splices (default: %(default)s)")
    add("--out", type=Path, default=OUTPUTS, metavar="DIR", help="where clips and picture go (default: %(default)s)")
    add_model(parser)
    add_operating_point(parser)
    add_executor(parser)


def run(arguments: argparse.Namespace) -> int:
    """Build, judge, print the tables and save the picture; return 0.

    Raises
    ------
    UsageError
        For a folder that is none, or too few clips or recordings.
    ToolkitError
        When there is no usable model, or an engine or the disk fails.
    """
    from apps.selftest import Judge, engines_at_hand, judge, splice
    from model.judging.detector import Detector

    if not arguments.real.is_dir():
        raise UsageError(f"--real: expected a folder, received {arguments.real}")
    if arguments.clips < 3:
        raise UsageError(f"--clips: expected 3 or more, received {arguments.clips}")
    detector, workers = Detector(arguments.model, operating_point=arguments.operating_point), workers_of(arguments)
    engines = tuple(name for name in arguments.engines.split(",") if name) or engines_at_hand()
    place, clips = splice(
        arguments.real,
        arguments.out,
        n_clips=arguments.clips,
        engines=engines,
        seed=arguments.seed,
        workers=workers,
    )
    judged = judge(clips, Judge(place, detector), workers=workers)
    print("\n\n".join(_tables(judged)))
    _save_picture(judged, arguments.out / PICTURE)
    return 0


def _tables(judged: Sequence[Judged]) -> list[str]:
    from apps.selftest import NOT_JUDGED, by_engine, recovery, verdicts
    from audio.labels import LABELS
    from audio.pages import Table, table_text

    called = (*LABELS, NOT_JUDGED)
    counts = verdicts(judged)
    rows = tuple((name, *(str(found[label]) for label in called)) for name, found in counts.items() if found)
    genuine = sum(found.total() for name, found in counts.items() if name.startswith(LABELS[0]))
    wrong = sum(found[label] for name, found in counts.items() if name.startswith(LABELS[0]) for label in LABELS[1:])
    lengths = tuple(
        (f"{band.low_s:g}-{band.high_s:g} s", str(band.n_spans), f"{band.fake_s:.1f}", _percent(band.found_share))
        for band in recovery(judged)
    )
    made = tuple((name, str(n), _percent(share)) for name, (n, share) in by_engine(judged).items())
    return [
        table_text(Table(("clips that are", *called), rows, caption="Verdicts")),
        f"false alarms: {wrong} of {genuine} genuine clips",
        table_text(Table(("fake spans of", "spans", "seconds", "found"), lengths, caption="Recovery in hybrids")),
        table_text(Table(("made by", "clips", "fake seconds found"), made, caption="By engine")),
    ]


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.0%}"


def _save_picture(judged: Sequence[Judged], path: Path) -> None:
    """Draw which share of each span was found, over its length."""
    from audio.atomic import replacing
    from audio.segments import overlap
    from model.evaluation.pictures import span_recall_png

    spans = [(span, each.spans) for each in judged if each.clip.label == "hybrid" for span in each.truth]
    lengths_s = [span.offset_s - span.onset_s for span, _ in spans]
    png = span_recall_png(lengths_s, [overlap([span], found) / span.duration for span, found in spans])
    try:
        with replacing(path) as beside:
            beside.write_bytes(png)
    except OSError as error:
        raise ToolkitError(f"{path}: the picture cannot be written: {error.strerror}") from None
    _log.info("picture: %s", path)
