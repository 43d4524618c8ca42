"""Everything about the service that can be set: by an option of `python -m apps.api`, or in the environment.

`max_mb` is `--max-mb` and `HYBRID_AUDIO_API_MAX_MB`; the option wins. The key is read from the environment alone,
because options can be seen by every user of the machine.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from audio.errors import UsageError
from audio.reading import Limits

PREFIX = "HYBRID_AUDIO_API_"

TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
"""How a switch is written in the environment."""

SECRET = "key"
"""The setting that is no option."""


def _setting(default: Any, told: str) -> Any:
    """A field with a default, or with what makes one, and its help."""
    facts = {"default_factory": default} if callable(default) else {"default": default}
    return field(**facts, metadata={"help": told})


@dataclass(frozen=True)
class Settings:
    """What one service does, and how much of it.

    Raises
    ------
    UsageError
        For a limit that is not above 0.
    """

    host: str = _setting("127.0.0.1", "address to listen at; 0.0.0.0: all of this machine's")
    port: int = _setting(8000, "port to listen at; 0: any free one")
    key: str | None = _setting(None, "what callers must send as 'Authorization: Bearer KEY'")
    model: Path | None = _setting(None, "folder of a model; unset: the shipped one, else the newest run")
    operating_point: str | None = _setting(None, "one of the model's, or a .json of calibrate; unset: its first")
    runtime: str | None = _setting(None, "what runs the network: onnx or litert; unset: what the model is for")
    workers: int = _setting(lambda: os.cpu_count() or 1, "processes that judge requests; unset: one a core")
    queue: int = _setting(32, "requests that may wait for a worker; more are refused with 429")
    uploads: int = _setting(64, "uploads at a time; more are refused with 429")
    max_mb: float = _setting(32.0, "largest recording in a request, in MB")
    max_seconds: float = _setting(300.0, "longest recording in a request")
    judge_s: float = _setting(60.0, "longest time for judging one, in seconds; then its worker is stopped")
    upload_s: float = _setting(30.0, "longest time for sending one, in seconds; for a job ten times as long")
    jobs_queue: int = _setting(8, "jobs that may wait; more are refused with 429")
    jobs_max_mb: float = _setting(512.0, "largest recording of a job, in MB")
    jobs_max_seconds: float = _setting(14_400.0, "longest recording of a job")
    jobs_judge_s: float = _setting(7_200.0, "longest time for judging one, in seconds")
    jobs_keep_hours: float = _setting(24.0, "how long the outcome of a job can be asked for")
    streams: int = _setting(4, "live streams at a time; more are refused with 429")
    streams_max_seconds: float = _setting(3_600.0, "longest live stream, in seconds of sound")
    streams_idle_s: float = _setting(10.0, "a live stream that sends nothing for so long is ended")
    shutdown_s: float = _setting(60.0, "how long what was begun may take to end when the service is stopped")
    folder: Path = _setting(Path("outputs/api"), "where uploads lie while they are judged, and jobs")
    log_names: bool = _setting(False, "write the names of recordings into the log")

    def __post_init__(self) -> None:
        """Validate."""
        if self.key == "":
            raise UsageError(f"{PREFIX}{SECRET.upper()}: expected a key, received an empty one")
        for each in fields(self):
            value = getattr(self, each.name)
            least = 0 if each.name in ("port", "queue", "jobs_queue") else math.nextafter(0, 1)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if number and not (math.isfinite(value) and value >= least):
                raise UsageError(f"{_option(each)}: expected a number above 0, received {value!r}")

    @classmethod
    def read(cls, given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
        """Take what was given, else what the environment says, else the defaults.

        Raises
        ------
        UsageError
            For a value that is none, and for a name with our prefix that means nothing.
        """
        known = {_variable(each): each for each in fields(cls)}
        ours = [name for name in environment if name.startswith(PREFIX)]
        if unknown := sorted(set(ours) - set(known)):
            raise UsageError(f"{unknown[0]}: no such setting; there are {', '.join(sorted(known))}")
        values = {known[name].name: _parsed(known[name], environment[name], name) for name in ours}
        return cls(**{**values, **{name: value for name, value in given.items() if value is not None}})

    @property
    def limits(self) -> Limits:
        """What one recording in a request may turn into."""
        return Limits(max_seconds=self.max_seconds)

    @property
    def jobs_limits(self) -> Limits:
        """What the recording of a job may turn into: 64 channels of it at 48 kHz."""
        return Limits(max_seconds=self.jobs_max_seconds, max_bytes=round(self.jobs_max_seconds * 48_000 * 64 * 4))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare an option for every setting but the key."""
    for each in fields(Settings):
        if each.name == SECRET:
            continue
        told = each.metadata["help"] + ("" if _default(each) is None else f" (default: {_default(each)})")
        if _kind(each) == "bool":
            parser.add_argument(_option(each), action="store_true", default=None, help=each.metadata["help"])
        else:
            parser.add_argument(_option(each), type=_argument(each), metavar=_METAVARS[_kind(each)], help=told)


_METAVARS = {"int": "N", "float": "N", "str": "TEXT", "Path": "PATH"}
_KINDS = {"int": int, "float": float, "str": str, "Path": Path}


def _kind(setting: Field[Any]) -> str:
    """Name of the type of a setting; annotations are text here."""
    return str(setting.type).removesuffix(" | None")


def _default(setting: Field[Any]) -> Any:
    return None if callable(setting.default_factory) else setting.default


def _option(setting: Field[Any]) -> str:
    return "--" + setting.name.replace("_", "-")


def _variable(setting: Field[Any]) -> str:
    return PREFIX + setting.name.upper()


def _argument(setting: Field[Any]) -> Any:
    def parsed(text: str) -> Any:
        try:
            return _parsed(setting, text, _option(setting))
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def _parsed(setting: Field[Any], text: str, name: str) -> Any:
    kind = _kind(setting)
    try:
        if kind != "bool":
            return _KINDS[kind](text)
        if text.lower() in (*TRUE, *FALSE):
            return text.lower() in TRUE
    except ValueError:
        pass
    raise UsageError(f"{name}: expected {'yes or no' if kind == 'bool' else 'a number'}, received {text!r}")
