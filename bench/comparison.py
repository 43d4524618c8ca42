"""`python -m bench.comparison`: the comparison of docs/comparison.md, from a corpus to the table.

Gathers the recordings of a corpus (columns split, ship and origin) and the Debian prompts, builds a set by
`bench/comparison.toml`, compares all systems on it by `script.py compare --leaky-split`, and puts the table into a
document, between two marks. What was built, trained or judged before is not done again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from audio.atomic import put_between
from audio.errors import ToolkitError

RECIPE = Path(__file__).with_suffix(".toml")

WORK = Path("runs", "comparison")

MINUTES = 5.0
"""Of processor time that each network learns for."""

BEGIN, END = "<!-- comparison begin -->", "<!-- comparison end -->"
"""Marks in a document that the table stands between."""


def main() -> int:
    """Build, compare, write; return the exit status."""
    options = _parser().parse_args()
    build(options.corpus, options.work, workers=options.workers)
    status = compare(options)
    if options.write:
        put_between(options.write, document(options.work), begin=BEGIN, end=END)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.comparison", description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="folder with manifest.csv")
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help=f"default: {WORK}")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for each network (default: %(default)g)")
    parser.add_argument("--systems", default="all", help="default: all")
    parser.add_argument("-j", "--workers", type=int, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    return parser


def build(corpus: Path, work: Path, *, workers: int) -> None:
    """Gather the recordings and build the set; what is there stays."""
    from apps.pretraining.gather import gather
    from synth.build import build_set
    from synth.order import VOICES, order_from, read_order
    from synth.prompts import fetch_prompts

    voices = work / "voices"
    gather(corpus, fetch_prompts(VOICES), voices)
    order = order_from({**read_order(RECIPE), "real": voices, "fake": voices, "cache": work / "cache"})
    build_set(order.recipe, order.folders, out=work / "set", workers=workers)


def compare(options: argparse.Namespace) -> int:
    """Run `script.py compare`."""
    from apps.cli.main import main as script

    asked = ["compare", "--data", options.work / "set", "--out", options.work / "out", "--systems", options.systems]
    asked += ["--minutes", options.minutes, "-j", options.workers, "--leaky-split"]
    return script([str(word) for word in asked])


def document(work: Path) -> str:
    """Return the tables in Markdown, with what they are of."""
    from apps.comparing.outcome import read_outcomes
    from apps.comparing.table import leaders, notes, table
    from audio.manifest import read_manifest
    from audio.pages import table_markdown

    outcomes = read_outcomes(work / "out" / "comparison.json")
    counts = Counter((clip.split, clip.label) for clip in read_manifest(work / "set" / "manifest.jsonl"))
    parts = [_of_split(counts, split) for split in ("train", "dev", "test")]
    failed = [f"- {note}" for note in notes(outcomes)]
    lines = [f"The set: {'; '.join(parts)}.", table_markdown(table(outcomes, ranges=True)), *leaders(outcomes), *failed]
    return "\n\n".join(lines)


def _of_split(counts: Counter[tuple[str, str]], split: str) -> str:
    told = ", ".join(f"{counts[split, label]} {label}" for label in ("real", "fake", "hybrid"))
    return f"{split} {told}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ToolkitError as error:
        sys.exit(f"error: {error}")
