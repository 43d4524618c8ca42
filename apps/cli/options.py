"""Options that several commands have, in the same words."""

from __future__ import annotations

import argparse
from pathlib import Path

FOUND = 3
"""Exit status of a command that found what a `--fail-on...` asked for."""

LISTS = (".txt", ".lst", ".list", ".m3u")
"""What a list of files, one a line, may be called."""


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare which model judges."""
    told = "folder of a model (default: the shipped one, else the newest run)"
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help=told)


def add_operating_point(parser: argparse.ArgumentParser) -> None:
    """Declare how much evidence an accusation needs."""
    told = "how much evidence an accusation needs: one of the model's, or a .json of calibrate (default: its first)"
    parser.add_argument("--operating-point", metavar="NAME", help=told)


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Declare what runs the network."""
    told = "what runs the network: onnx or litert (default: what the model is for)"
    parser.add_argument("--runtime", metavar="NAME", help=told)
