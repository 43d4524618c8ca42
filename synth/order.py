"""A recipe written down: a TOML file with the names of the options of `python -m synth build`.

    clips = 1200
    seed = 1
    real = "recordings"            # folders are relative to the file; without this one, the Debian prompts
    engines = ["world", "lpc"]
    held_out = ["griffin-lim"]
    span_s = [0.1, 5.0]
    turns = { world = 2 }          # how often a generator comes while each other one comes once

The same file builds a set (`python -m synth build --recipe`) and trains on endless splices
(`train_cnnrnnlstm.py --recipe`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio.addresses import is_address
from audio.errors import UsageError
from audio.mirroring import mirror
from synth.cache import ADDRESSES, default_cache_dir
from synth.engines.command import parse_command
from synth.making import Folders
from synth.recipe import Recipe

VOICES = Path("data", "voices")
"""Where the prompts go when no genuine recordings are named."""

SOURCES = ("real", "fake", "noise", "rooms")
"""Entries that are folders of recordings, or addresses of such."""

FOLDERS = (*SOURCES, "cache")

TEXTS = ("engines", "held_out", "dev_speakers", "test_speakers", "engine_commands")
"""Entries that are lists of texts."""

RANGES = ("clip_s", "span_s")
"""Entries that are a shortest and a longest duration, in seconds."""

SETTINGS = (
    *("engines", "held_out", "dev_speakers", "test_speakers", "channel", "channel_share"),
    *("clip_s", "span_s", "max_spans", "pair_share", "speech_power", "turns"),
)
"""Entries that are fields of a `Recipe` under the same name."""

NUMBERS = ("clips", "seed", "max_spans")

TYPES: Mapping[str, type] = {
    **dict.fromkeys(NUMBERS, int),
    "channel": bool,
    "channel_share": float,
    "pair_share": float,
    "speech_power": float,
    "turns": dict,
    **dict.fromkeys(FOLDERS, str),
}


@dataclass(frozen=True)
class Order:
    """What to make, and from which folders."""

    recipe: Recipe
    folders: Folders

    def to_json(self) -> dict[str, Any]:
        """Return the order as what JSON can hold, with absolute folders; `from_json` turns it back."""
        folders = {name: None if path is None else str(path.resolve()) for name, path in vars(self.folders).items()}
        return {"recipe": self.recipe.to_json(), "folders": folders}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Order:
        """Rebuild an order; raise `UsageError` when `facts` is none."""
        try:
            folders = {name: None if path is None else Path(path) for name, path in facts["folders"].items()}
            return cls(Recipe.from_json(facts["recipe"]), Folders(**folders))  # type: ignore[arg-type]
        except (KeyError, TypeError) as error:
            raise UsageError(f"order: expected a recipe and folders: {error}") from None


def read_order(path: Path) -> dict[str, Any]:
    """Read a recipe file.

    Returns
    -------
    Its entries, for `order_from`; folders as paths that do not depend on the current one.

    Raises
    ------
    UsageError
        When the file cannot be read, or an entry is unknown or of the wrong type.
    """
    try:
        with path.open("rb") as file:
            entries = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected TOML: {error}") from None
    for name, value in entries.items():
        _check_entry(f"{path}: {name}", name, value)
    return {name: _placed(path.parent, value) if name in FOLDERS else value for name, value in entries.items()}


def _placed(folder: Path, value: str) -> Path | str:
    return value if is_address(value) else folder / value


def _check_entry(where: str, name: str, value: object) -> None:
    known = (*TYPES, *TEXTS, *RANGES)
    if name not in known:
        raise UsageError(f"{where}: expected one of {', '.join(known)}")
    if name in TEXTS and not (isinstance(value, list) and all(isinstance(entry, str) for entry in value)):
        raise UsageError(f'{where}: expected a list of texts, as in ["a", "b"], received {value!r}')
    numbers = isinstance(value, list) and all(type(entry) in (int, float) for entry in value)
    if name in RANGES and not (numbers and len(value) == 2):  # type: ignore[arg-type]
        raise UsageError(f"{where}: expected two numbers, as in [0.1, 5.0], received {value!r}")
    if name in TYPES and type(value) is not TYPES[name]:
        raise UsageError(f"{where}: expected {TYPES[name].__name__}, received {value!r}")


def order_from(entries: Mapping[str, Any]) -> Order:
    """Make an order of entries, of a file or of the command line; what is missing has its default.

    Without `real` it fetches the prompts that Debian packages. What lies at addresses is copied into the cache.

    Raises
    ------
    UsageError
        Without `clips`, or for entries that a recipe refuses.
    ToolkitError
        When the prompts, or recordings at an address, cannot be fetched.
    """
    from synth.prompts import fetch_prompts

    if entries.get("clips") is None:
        raise UsageError("clips: expected a number of clips (--clips N, or in the recipe), received none")
    given = {name: entries[name] for name in SETTINGS if entries.get(name) is not None}
    commands = tuple(parse_command(text) for text in entries.get("engine_commands") or ())
    recipe = Recipe(entries["clips"], entries.get("seed", 1), commands=commands, **given)
    cache = entries.get("cache") or default_cache_dir()
    real, fake, noise, rooms = (_here(entries.get(name), cache) for name in SOURCES)
    return Order(recipe, Folders(real or fetch_prompts(VOICES), fake, noise, rooms, cache))


def _here(place: Path | str | None, cache: Path) -> Path | None:
    """Return the folder of recordings; those at an address are copied into the cache first."""
    if place is None:
        return None
    return mirror(str(place), cache / ADDRESSES) if is_address(str(place)) else Path(place)
