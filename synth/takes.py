"""Takes: what a clip is spliced from, named in its plan and loaded when its turn comes.

A genuine take is an excerpt of a recording. A fake one is its twin from an engine, a recording that somebody
else's generator made, or a text that an engine speaks. What engines make passes the codec that the genuine
voices came in (their past must not tell them apart), and is kept in the cache. Either may be treated afterwards
(`synth.treatments`), which changes how it sounds and not what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from audio.digest import file_sha256
from audio.errors import ToolkitError
from audio.ffmpeg import ffmpeg_version, find_ffmpeg
from audio.reading import read_span
from synth.cache import Cache, content_key
from synth.codecs import fixed_coding, pass_codecs
from synth.engines import Engine, engine
from synth.engines.command import CommandEngine
from synth.pcm import Pcm, Samples, fitted, from_db, rms_dbfs, to_float, to_pcm
from synth.treatments import Treatment, treat

GENUINE, TWIN, RECORDED, SPOKEN = "genuine", "twin", "recorded", "spoken"


@dataclass(frozen=True)
class Take:
    """One recording to splice from.

    `kind`: `GENUINE` and `TWIN` (of what `generator`'s engine copies) are excerpts of a genuine recording,
    `RECORDED` of a fake one, `[onset, offset)` in samples; `SPOKEN` is `text`. `codec` is the past of the
    genuine voices, which a fake passes once, or "". `treatment`: what it goes through last, or None.
    """

    kind: str
    path: str = ""
    onset: int = 0
    offset: int = 0
    generator: str = ""
    text: str = ""
    language: str = ""
    codec: str = ""
    speaker: str = ""
    treatment: Treatment | None = None

    @property
    def n_samples(self) -> int:
        """Length of an excerpt; 0 for a text, whose length is not known before it is spoken."""
        return self.offset - self.onset

    @property
    def untreated(self) -> Take:
        """The take without its treatment."""
        return replace(self, treatment=None)

    def treated(self, treatment: Treatment) -> Take:
        """Return the take, to be treated."""
        return replace(self, treatment=treatment)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Take:
        """Rebuild a take from what `Library.describe` says of it; raise `ToolkitError` when that is none."""
        known = {name: facts[name] for name in cls.__dataclass_fields__ if name in facts}
        if "kind" not in known:
            raise ToolkitError(f"source: expected a take with its kind, received {dict(facts)}")
        treatment = known.pop("treatment", None)
        return cls(**known, treatment=None if treatment is None else Treatment.from_json(treatment))


@dataclass(frozen=True)
class Library:
    """The folders of genuine and of fake recordings, the cache for what engines make, and engines of one's own."""

    real: Path
    fake: Path | None
    cache: Cache
    commands: tuple[CommandEngine, ...] = ()

    def load(self, takes: Iterable[Take]) -> dict[Take, Pcm]:
        """Load takes, each as int16 (n,); excerpts have exactly `Take.n_samples`.

        What is in the cache comes from there; whatever engines must make now passes its codec in one go, and so
        do treatments. Treated takes are not kept: their treatments hardly ever occur twice.

        Raises
        ------
        ToolkitError
            When a recording cannot be read, or an engine, ffmpeg or the cache fails.
        """
        wanted = list(dict.fromkeys(takes))
        plain = self._untreated(dict.fromkeys(take.untreated for take in wanted))
        treated = [(take, take.treatment) for take in wanted if take.treatment is not None]
        given = [to_float(plain[take.untreated]) for take, _ in treated]
        returned = treat(given, [treatment for _, treatment in treated])
        finished = {take: to_pcm(samples) for (take, _), samples in zip(treated, returned, strict=True)}
        return {take: finished[take] if take in finished else plain[take] for take in wanted}

    def _untreated(self, wanted: Iterable[Take]) -> dict[Take, Pcm]:
        wanted = list(wanted)
        loaded = {take: self._excerpt(take) for take in wanted if take.kind != SPOKEN}
        keys = {take: self._key(take, loaded.get(take)) for take in wanted if _is_made(take)}
        kept = {take: self.cache.find(key) for take, key in keys.items()}
        missing = {take: keys[take] for take, pcm in kept.items() if pcm is None}
        made = self._made(missing, loaded)
        return {**loaded, **{take: pcm for take, pcm in kept.items() if pcm is not None}, **made}

    def describe(self, take: Take) -> dict[str, Any]:
        """Return what a manifest says of a take: its fields that are set, and the SHA-256 of its file."""
        facts = {name: value for name, value in vars(take).items() if value not in ("", None)}
        if take.treatment is not None:
            facts["treatment"] = take.treatment.to_json()
        return facts if take.kind == SPOKEN else {**facts, "sha256": file_sha256(self._path(take))}

    def engine(self, name: str) -> Engine:
        """Return a command of one's own or a built-in engine; raise `EngineError` for any other name."""
        return next((command for command in self.commands if command.name == name), None) or engine(name)

    def _rendered(self, take: Take, source: Pcm | None, key: str) -> Samples:
        """Let the engine of a take make it; its randomness comes from the key, so from content alone."""
        given = None if source is None else to_float(source)
        if take.kind == RECORDED and given is not None:
            return given
        rng = np.random.default_rng(int(key[:32], 16))
        samples = self.engine(take.generator).render(given, text=take.text, language=take.language, rng=rng)
        return samples if given is None else _as_loud(samples, given)

    def _path(self, take: Take) -> Path:
        root = self.fake if take.kind == RECORDED else self.real
        if root is None:
            raise ToolkitError(f"{take.path}: expected a folder of fake recordings, received none")
        return root / take.path

    def _excerpt(self, take: Take) -> Pcm:
        """Read the excerpt of a take's file, ended with silence where the file is a little shorter."""
        return to_pcm(fitted(read_span(self._path(take), take.onset, take.offset), take.n_samples))

    def _key(self, take: Take, source: Pcm | None) -> str:
        maker = self.engine(take.generator).version() if take.kind in (TWIN, SPOKEN) else ""
        coder = _ffmpeg_build() if take.codec else ""
        facts = (take.kind, take.generator, maker, take.text, take.language, take.codec, coder)
        return content_key(*facts, *(() if source is None else (source,)))

    def _made(self, missing: Mapping[Take, str], sources: Mapping[Take, Pcm]) -> dict[Take, Pcm]:
        """Make the missing takes, pass their codecs all together, and keep them in the cache."""
        rendered = {take: self._rendered(take, sources.get(take), key) for take, key in missing.items()}
        coded = [take for take in missing if take.codec]
        returned = pass_codecs([rendered[take] for take in coded], [fixed_coding(take.codec) for take in coded])
        rendered |= zip(coded, returned, strict=True)
        made = {take: to_pcm(samples) for take, samples in rendered.items()}
        for take, pcm in made.items():
            self.cache.keep(missing[take], pcm)
        return made


def _is_made(take: Take) -> bool:
    """Tell whether a take is more than an excerpt of a file."""
    return take.kind in (TWIN, SPOKEN) or (take.kind == RECORDED and take.codec != "")


def _as_loud(samples: Samples, wanted: Samples) -> Samples:
    """Bring a twin to the RMS of its source, short of clipping."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0.0:
        return samples
    gain = min(from_db(rms_dbfs(wanted) - rms_dbfs(samples)), 1.0 / peak)
    return samples * np.float32(gain)


@lru_cache(maxsize=1)
def _ffmpeg_build() -> str:
    return ffmpeg_version(find_ffmpeg())
