"""`python -m synth audit`: look for shortcuts in a set."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from audio.errors import UsageError
from audio.executors import add_executor, workers_of

HELP = "look for shortcuts: what trivial facts of the files tell about the classes of a set"

EXAMPLE = """\
examples:
  python -m synth audit data/first
  python -m synth audit corpus/manifest.csv --out corpus-audit.html --fail-over 0.65

takes any set: a manifest.jsonl, a CSV with the columns path and label (real, fake or hybrid), or a folder with one
of them, or with real/, fake/ and hybrid/ in it. It prints a table and writes a page with pictures. Exit status: 0,
1 when files could not be read (they are named and left out), 3 when --fail-over found something.
"""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("set", type=Path, metavar="SET", help="manifest, CSV, or folder")
    add("--out", type=Path, metavar="FILE", help="page, or folder for it (default: outputs/audit-NAME.html)")
    add("--fail-over", type=float, metavar="AUC", help="exit with 3 when any AUC, or 1 less it, exceeds this")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    add("--seed", type=int, default=0, metavar="S", help="decides folds and resamples (default: %(default)s)")
    add_executor(parser)


def run(options: argparse.Namespace) -> int:
    """Audit the set, print, write the page; return 0, 1 for unreadable files, 3 for what `--fail-over` found.

    Raises
    ------
    ToolkitError
        As `synth.audit.audit_set` and `synth.report.write_report`.
    """
    if options.fail_over is not None and not 0.5 <= options.fail_over <= 1.0:
        raise UsageError(f"--fail-over: expected 0.5 to 1, received {options.fail_over:g}")
    if options.seed < 0:
        raise UsageError(f"--seed: expected 0 or more, received {options.seed}")
    from synth.audit import audit_set
    from synth.report import report_text, write_report

    report = audit_set(options.set, workers=workers_of(options), seed=options.seed)
    print(json.dumps(report.to_json(), indent=2) if options.json else report_text(report), flush=True)
    page = _page(options)
    write_report(page, report)
    _log.info("%s", page)
    found = [] if options.fail_over is None else report.beyond(options.fail_over)
    for answer, finding in found:
        _log.info("over %g: %s, %s: %.3f", options.fail_over, answer.question.name, finding.name, finding.strength)
    return 3 if found else 1 if report.unreadable else 0


def _page(options: argparse.Namespace) -> Path:
    """Return where the page goes; never into the set unless told so."""
    whole = options.set.resolve()
    name = whole.name if whole.is_dir() else f"{whole.parent.name}-{whole.stem}"
    if options.out is None:
        return Path("outputs", f"audit-{name}.html")
    if options.out.suffix.lower() in (".html", ".htm"):
        return Path(options.out)
    return Path(options.out, f"audit-{name}.html")
