"""Options that several commands have, in the same words."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from audio.labels import LABELS

if TYPE_CHECKING:
    from model.metrics import AsvErrors

FOUND = 3
"""Exit status of a command that found what a `--fail-on...` asked for."""

LISTS = (".txt", ".lst", ".list", ".m3u")
"""What a list of files, one a line, may be called."""

ABSTAINED = "abstained"
"""What `--fail-on` calls a recording without a verdict."""


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare which model judges."""
    told = "folder of a model (default: the shipped one, else the newest run)"
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help=told)


def add_asv_scores(parser: argparse.ArgumentParser) -> None:
    """Declare the scores of a speaker verification system."""
    told = "of a speaker verification system, for min t-DCF (ASVspoof 2019)"
    parser.add_argument("--asv-scores", type=Path, metavar="FILE", help=told)


def asv_of(scores: Path | None) -> AsvErrors | None:
    """Read what a speaker verification system does; None for no scores.

    Raises
    ------
    UsageError
        When the file holds no scores of claimed speakers, others and fakes.
    ToolkitError
        When it cannot be read.
    """
    if scores is None:
        return None
    from model.evaluation.scorefiles import read_asv_scores
    from model.metrics import asv_errors

    target, nontarget, spoof = read_asv_scores(scores)
    return asv_errors(target, nontarget, spoof=spoof)


def add_operating_point(parser: argparse.ArgumentParser) -> None:
    """Declare how much evidence an accusation needs."""
    told = "how much evidence an accusation needs: one of the model's, or a .json of calibrate (default: its first)"
    parser.add_argument("--operating-point", metavar="NAME", help=told)


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Declare what runs the network."""
    told = "what runs the network: onnx or litert (default: what the model is for)"
    parser.add_argument("--runtime", metavar="NAME", help=told)


def add_said(parser: argparse.ArgumentParser, *, json: str) -> None:
    """Declare how a verdict is told: in words, as rows (`json` explains them), by the exit status."""
    parser.add_argument("--json", action="store_true", help=json)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument(
        "--fail-on",
        type=_labels,
        default=(),
        metavar="A,B",
        help=f"exit with {FOUND} when a verdict is one of these: {', '.join((*LABELS, ABSTAINED))}",
    )


def _labels(text: str) -> tuple[str, ...]:
    return some_of(text, (*LABELS, ABSTAINED))


def some_of(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Read words between commas, each one of `known`; raises what argparse turns into a line about wrong usage."""
    named = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not named or set(named) - set(known):
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(known)}, received {text!r}")
    return named
