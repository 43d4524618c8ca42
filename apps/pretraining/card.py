"""`python -m apps.pretraining.card`: the model card of a bundle, every figure of it computed again from the corpus."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audio.atomic import replacing
from audio.errors import ToolkitError, UsageError

if TYPE_CHECKING:
    from apps.pretraining.findings import Findings
    from apps.pretraining.sets import Exams
    from apps.pretraining.targets import Outcome
from model.bundle import Bundle
from model.judging.report import software_version

HELP = "Judge the test rows of a corpus with a bundle, and write its model card and the figures behind it."

EXAMPLE = """\
example:
  python -m apps.pretraining.card --corpus DIR

writes MODEL_CARD.md and figures.json beside the bundle. Sets are built and journals kept in --work, so a second run,
also after a kill, goes on from there; the same corpus, bundle and folder give the same bytes. Nobody chooses anything
with test rows: --split dev is for looking before, and writes DEV_MODEL_CARD.md and dev_figures.json into --work.
exit status: 0 ran, 1 something failed, 2 wrong usage."""

SCHEMA_VERSION = 1
"""Version of figures.json."""

CARD, FIGURES = "MODEL_CARD.md", "figures.json"
DEV_CARD, DEV_FIGURES = "DEV_MODEL_CARD.md", "dev_figures.json"

TEMPLATE = Path(__file__).with_name("card.md.j2")

SPLITS = ("test", "dev")

WORK = Path("runs", "card")

DISTRIBUTION = "hybrid-audio-detection-toolkit"
"""What the project is called where it is installed."""

PACKAGES = ("numpy", "onnxruntime")
"""Packages whose versions may move a score."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    from model.bundle import SHIPPED

    add = parser.add_argument
    add("--corpus", type=Path, required=True, metavar="DIR", help="folder with manifest.csv and partial_manifest.csv")
    add("--bundle", type=Path, default=SHIPPED, metavar="DIR", help="folder of the bundle (default: the shipped one)")
    add("--work", type=Path, default=WORK, metavar="DIR", help=f"built sets and journals (default: {WORK})")
    add("--voices", type=Path, metavar="DIR", help="folder of the Debian prompts (default: data/voices, fetched)")
    add("--split", choices=SPLITS, default="test", help="dev: a look before, into --work (default: test)")
    add("-j", "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)")


def run(arguments: argparse.Namespace) -> int:
    """Judge, compute and write; return 0.

    Raises
    ------
    UsageError
        For fewer than one worker, or a bundle that lies in the folder of the work.
    ToolkitError
        When the corpus or the bundle is broken, a clip cannot be judged, or the card cannot be written.
    """
    from apps.cost import CLIPS, COST, cost, cost_figures, spread
    from apps.pretraining.findings import Where, find
    from apps.pretraining.sets import CODE_OF_JUDGING, code_sha256, collect, treatments
    from apps.pretraining.targets import decide, targets
    from audio.digest import file_sha256
    from audio.manifest import resolve
    from model.bundle import CARD_NAME, read_bundle
    from synth.order import VOICES
    from synth.prompts import fetch_prompts

    if arguments.workers < 1:
        raise UsageError(f"--workers: expected at least 1, received {arguments.workers}")
    bundle = read_bundle(arguments.bundle)
    voices = fetch_prompts(arguments.voices or VOICES)
    work = arguments.work
    exams = collect(arguments.corpus, voices, work=work, split=arguments.split, workers=arguments.workers)
    found = find(exams, bundle.path, work=work, workers=arguments.workers)
    hashes = (file_sha256(bundle.path / CARD_NAME)[:12], code_sha256(*CODE_OF_JUDGING)[:12])
    heard = [resolve(exams.rows.place, clip) for clip in spread(exams.rows.clips, CLIPS)]
    measured = cost(bundle.path, heard, kept=work / f"cost-{'-'.join(hashes)}.json")
    found.add(Where(COST), cost_figures(measured))
    outcomes = decide(targets(exams.corpora, treatments()), found)
    out = _write(bundle, exams, found, outcomes, work=work)
    _log.info("card: %s", out)
    return 0


def _write(bundle: Bundle, exams: Exams, found: Findings, outcomes: Sequence[Outcome], *, work: Path) -> Path:
    """Write the card and its figures; that of dev goes where nobody takes it for the shipped one."""
    facts = stamp(bundle, exams)
    final = exams.split == "test"
    folder, names = (bundle.path, (CARD, FIGURES)) if final else (work, (DEV_CARD, DEV_FIGURES))
    texts = (card_text(bundle, exams, found, outcomes, facts), _figures_text(exams, found, outcomes, facts))
    try:
        for name, text in zip(names, texts, strict=True):
            with replacing(folder / name) as beside:
                beside.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ToolkitError(f"{folder}: the card cannot be written: {error.strerror}") from None
    return folder / names[0]


def stamp(bundle: Bundle, exams: Exams) -> dict[str, str]:
    """Return what a second person needs to get the same figures, by name; no path and no date."""
    from apps.pretraining.sets import CODE_OF_JUDGING, STRESS_SEED, code_sha256
    from audio.digest import file_sha256
    from audio.ffmpeg import ffmpeg_version, find_ffmpeg
    from model.bundle import CARD_NAME
    from model.evaluation.figures import SEED

    split = "" if exams.split == "test" else f" --split {exams.split}"
    return {
        "model": bundle.name,
        "bundle SHA-256": file_sha256(bundle.path / CARD_NAME),
        "corpus SHA-256": exams.sha256["corpus"],
        "hybrids SHA-256": exams.sha256["hybrids"],
        "hybrids through the channel SHA-256": exams.sha256["channel"],
        "software": f"{DISTRIBUTION} {software_version()}",
        "judging code SHA-256": code_sha256(*CODE_OF_JUDGING),
        "seeds": f"splices {exams.recipe.seed}, corruptions {STRESS_SEED}, bootstrap {SEED}",
        "ffmpeg": ffmpeg_version(find_ffmpeg()),
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES),
        "command": f"python -m apps.pretraining.card --corpus DIR{split}",
    }


def _figures_text(exams: Exams, found: Findings, outcomes: Sequence[Outcome], facts: Mapping[str, str]) -> str:
    from apps.pretraining.sets import facts_of
    from model.evaluation.figures import N_RESAMPLES, SEED

    told = {
        "schema_version": SCHEMA_VERSION,
        "split": exams.split,
        "positive_class": "fake",
        "facts": dict(facts),
        "intervals": {"level": 0.95, "clustered_by": "speaker", "resamples": N_RESAMPLES, "seed": SEED},
        "sets": [facts_of(exam) for exam in exams.all],
        "targets": [outcome.to_json() for outcome in outcomes],
        "reasons": found.reasons,
        "figures": found.to_json(),
    }
    return json.dumps(told, indent=1, allow_nan=False) + "\n"


def card_text(
    bundle: Bundle, exams: Exams, found: Findings, outcomes: Sequence[Outcome], facts: Mapping[str, str]
) -> str:
    """Return the card as Markdown; raise `ToolkitError` without Jinja2."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise ToolkitError("the card needs Jinja2: install it with 'pip install jinja2'") from None
    # Markdown, not HTML: `markdown_cell` takes care of what comes from manifests.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    told = _told(bundle, exams, found, outcomes)
    text = environment.from_string(TEMPLATE.read_text("utf-8")).render(facts=facts, **told)
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [line for i, line in enumerate(lines) if line or (i and lines[i - 1])]
    return "\n".join(kept).rstrip() + "\n"


def _told(bundle: Bundle, exams: Exams, found: Findings, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what the template speaks of."""
    from apps.pretraining import wording
    from apps.pretraining.findings import Where
    from apps.pretraining.sets import treatments
    from apps.pretraining.targets import MISSED, UNKNOWN
    from audio.pages import markdown_cell

    done, origins = treatments(), list(bundle.training.get("origins", ()))
    return {
        "bundle": bundle,
        "exams": exams,
        "is_final": exams.split == "test",
        "kilobytes": (bundle.onnx_path.stat().st_size + 500) // 1_000,
        "get": lambda key, name, part="", treatment="": found.get(Where(name, part, treatment), key),
        "words": wording,
        "cell": markdown_cell,
        "outcomes": outcomes,
        "missed": [outcome for outcome in outcomes if outcome.verdict in (MISSED, UNKNOWN)],
        "treatments": done,
        "found": found,
        "parts": wording.part_tables(exams, found),
        "origins": origins,
        "recipe": _recipe(bundle.training),
    }


def _recipe(training: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the recipe of the training splices, where the bundle says it: at the top, or among the settings."""
    settings = training.get("settings") or {}
    splices = settings.get("splices") or {}
    return training.get("recipe") or splices.get("recipe") or {}


if __name__ == "__main__":
    from apps.cli.main import run_alone

    sys.exit(run_alone(sys.modules[__name__], program="python -m apps.pretraining.card"))
