"""`python -m synth`: build sets, fetch voices, empty the cache."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from audio.errors import ToolkitError, UsageError

VOICES = Path("data", "voices")

EXAMPLE = """\
example:
  python -m synth build --out data/first --clips 1200 --seed 1

  fetches the voice prompts that Debian packages into data/voices (once), and writes data/first/real,
  data/first/fake, data/first/hybrid and data/first/manifest.jsonl. With your own recordings, one folder for
  each speaker:

  python -m synth build --out data/mine --clips 300 --seed 1 --real recordings --engines world --held-out lpc

A build that was stopped goes on when the same command is given again.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 for what went wrong, 2 for wrong usage, 130 when interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except ToolkitError as error:
        print(f"synth: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("synth: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m synth", description=__doc__, epilog=EXAMPLE, formatter_class=raw)
    commands = parser.add_subparsers(required=True, metavar="build | voices | purge")
    build = commands.add_parser("build", help="build a set", epilog=EXAMPLE, formatter_class=raw)
    _add_build_options(build)
    voices = commands.add_parser("voices", help="fetch the voice prompts that Debian packages (55 MB)")
    voices.add_argument("--out", type=Path, default=VOICES, metavar="DIR", help="default: %(default)s")
    voices.set_defaults(command=_voices)
    purge = commands.add_parser("purge", help="empty the cache of synthetic voices")
    _add_cache_option(purge)
    purge.set_defaults(command=_purge)
    return parser


def _add_build_options(build: argparse.ArgumentParser) -> None:
    add = build.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the set")
    add("--clips", type=int, required=True, metavar="N", help="number of clips; a third of each class")
    add("--seed", type=int, default=1, metavar="S", help="the same seed gives the same bytes (default: %(default)s)")
    add("--real", type=Path, metavar="DIR", help="genuine recordings, subfolder = speaker (default: the prompts)")
    add("--fake", type=Path, metavar="DIR", help="fake recordings, subfolder = generator")
    add("--engines", type=_names, default="world,griffin-lim", metavar="A,B", help="default: %(default)s")
    add("--held-out", type=_names, default="lpc", metavar="A", help="only in test_unseen (default: %(default)s)")
    add("--dev-speakers", type=_names, default="", metavar="A,B", help="default: drawn by the seed")
    add("--test-speakers", type=_names, default="", metavar="A,B", help="default: drawn by the seed")
    add("--no-channel", action="store_true", help="leave out the random level, bandwidth, noise and codec")
    add("-j", "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)")
    _add_cache_option(build)
    build.set_defaults(command=_build)


def _add_cache_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where synthetic voices are kept")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _build(options: argparse.Namespace) -> None:
    from synth.build import Places, build_set
    from synth.cache import default_cache_dir
    from synth.prompts import fetch_prompts
    from synth.recipe import Recipe

    recipe = Recipe(
        options.clips,
        options.seed,
        engines=options.engines,
        held_out=options.held_out,
        dev_speakers=options.dev_speakers,
        test_speakers=options.test_speakers,
        channel=not options.no_channel,
    )
    real = options.real if options.real is not None else fetch_prompts(VOICES)
    cache = options.cache if options.cache is not None else default_cache_dir()
    clips = build_set(recipe, Places(options.out, real, options.fake, cache), workers=options.workers)
    labels = ", ".join(f"{n} {label}" for label, n in sorted(Counter(clip.label for clip in clips).items()))
    if missing := recipe.n_clips - len(clips):
        raise ToolkitError(f"{options.out}: {labels}; no splice for {missing} clips, see 'skipped' in build.json")
    logging.info("%s: %s", options.out, labels)


def _voices(options: argparse.Namespace) -> None:
    from synth.prompts import fetch_prompts

    logging.info("%s", fetch_prompts(options.out))


def _purge(options: argparse.Namespace) -> None:
    from synth.cache import Cache, default_cache_dir

    cache = Cache(options.cache if options.cache is not None else default_cache_dir())
    logging.info("%s: %.1f MB removed", cache.folder, cache.purge() / 1e6)


if __name__ == "__main__":
    sys.exit(main())
