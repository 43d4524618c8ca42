"""`python -m synth engines`: list the synthesisers."""

from __future__ import annotations

import argparse

HELP = "list the synthesisers, and how to install those that are missing"

EXAMPLE = """\
example:
  python -m synth engines

prints a line for each: its name, whether it copies recordings or speaks texts, the languages that it speaks, and its
version, or how to install it. Name some with 'python -m synth build --engines'; any other program joins by
--engine-command "mytts --text {text} --out {wav}", where {language} and {seed} are filled in too, a program without
{text} reads the text from its standard input, and one with {source} copies that recording. Piper, for example:

  --engine-command "piper -m en_US-lessac-medium.onnx -f {wav} --noise-scale 0 --noise-w-scale 0"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command: none."""


def run(options: argparse.Namespace) -> int:
    """Print the list, in columns divided by tabs, and return 0."""
    from synth.engines import survey

    print("engine", "does", "languages", "installed", sep="\t")
    for facts in survey():
        does = "copies" if facts.makes_twins else "speaks"
        spoken = "any" if facts.makes_twins else ",".join(facts.languages) or "many"
        missing = facts.missing.removeprefix(f"{facts.name}: ")
        print(facts.name, does, spoken, facts.version or f"no: {missing}", sep="\t")
    return 0
