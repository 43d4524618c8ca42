"""When not to judge: limits on the facts of a recording, and what is said when one is passed.

A refusal is an answer too, and costs: each clip that is refused might have been judged right. So a limit belongs where
the detector is known to fail, and `python -m bench.abstention` shows where that is for a given model. The detector
reads its limits from its bundle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from audio.errors import ModelError
from model.judging.quality import Quality

MIN_CLIP_SAMPLES = 6_400
"""0.4 s: below, there is hardly a word to hear, and no network has been trained on anything as short."""

MIN_SPEECH_SAMPLES = 3_200
"""0.2 s, about one syllable: a recording with less speech is not judged, a window with less has no vote."""


@dataclass(frozen=True)
class Limits:
    """How bad a recording may be and still be judged; None switches a rule off.

    `Limits()` are those of bundles of version 1: length and speech alone.

    Raises
    ------
    ModelError
        For a limit that is no number, or a length or share that is none.
    """

    least_samples: int | None = MIN_CLIP_SAMPLES
    least_speech_samples: int | None = MIN_SPEECH_SAMPLES
    most_music_share: float | None = None
    """Share of the speech frames in blocks of music or tones."""
    most_clipped_share: float | None = None
    """Share of the samples in speech on flat tops."""
    least_bandwidth_hz: float | None = None
    least_snr_db: float | None = None

    def __post_init__(self) -> None:
        """Validate."""
        for name, value in asdict(self).items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            whole = not name.endswith("_samples") or isinstance(value, int)
            bounded = name == "least_snr_db" or (number and 0 <= value <= (1 if name.endswith("_share") else math.inf))
            if value is not None and not (number and whole and bounded):
                raise ModelError(f"limits: {name}: expected {_EXPECTED[name.rpartition('_')[2]]}, received {value!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the limits as what JSON can hold; `from_json` turns them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any] | None) -> Limits:
        """Read what `to_json` gave; a limit that is not named is as in bundles of version 1, which name none.

        Raises
        ------
        ModelError
            For an unknown limit, or a value that is none.
        """
        if found is None:
            return cls()
        known = [field.name for field in fields(cls)]
        if not isinstance(found, Mapping) or (unknown := sorted(set(found) - set(known))):
            received = unknown[0] if isinstance(found, Mapping) else found
            raise ModelError(f"limits: expected some of {', '.join(known)}, received {received!r}")
        return cls(**found)


_EXPECTED = {
    "samples": "a whole number of samples, 0 or more, or null",
    "share": "a share of 0 to 1, or null",
    "hz": "a frequency of 0 Hz or more, or null",
    "db": "a number of dB, or null",
}
"""What a limit can be, by the unit at the end of its name."""

CAREFUL = Limits(most_music_share=0.6, most_clipped_share=0.05, least_bandwidth_hz=2_500.0, least_snr_db=0.0)
"""For a model of which nobody has measured where it fails: what nearly nobody would call a recording of speech.

- music: most of it. Of 2,125 clips of speech, genuine and fake, one has more (a child that reads slowly); of 92 pieces
  of real music 55 have.
- clipping: speech cut off 3 dB above its mean level, so that every vowel is a square wave, has 6 %. The worst of the
  2,125 clips had 0.7 %.
- bandwidth: a telephone passes 3.4 kHz, and is judged. Below 2.5 kHz hisses and most consonants are gone.
- noise: as loud as the speech. The worst of the clips had 13 dB.
"""

CAUTIONS = Limits(
    least_samples=32_000,
    least_speech_samples=16_000,
    most_music_share=0.2,
    most_clipped_share=0.01,
    least_bandwidth_hz=5_000.0,
    least_snr_db=10.0,
)
"""Where a verdict comes with a warning: below two seconds, or one of speech; some music, clipped peaks, a telephone's
band, noise that everybody hears. Of the 2,125 clips 87 are as short, 7 hold as little speech, 3 have another one."""


class Rule(NamedTuple):
    """One fact, its limit, and the codes of `audio.messages` for it."""

    reason: str
    """Why a recording is not judged: code of `REASONS`."""
    warning: str
    """What is said with a verdict: code of `WARNINGS`."""
    fact: str
    """Field of `Quality`."""
    limit: str
    """Field of `Limits`; its name begins with least or most."""

    def is_broken(self, quality: Quality, limits: Limits) -> bool:
        """Whether the limit is passed; a fact that a recording does not show passes none."""
        fact, limit = getattr(quality, self.fact), getattr(limits, self.limit)
        if fact is None or limit is None:
            return False
        return bool(fact < limit if self.limit.startswith("least") else fact > limit)


RULES = (
    Rule("too_short", "short", "n_samples", "least_samples"),
    Rule("no_speech", "little_speech", "speech_samples", "least_speech_samples"),
    Rule("music_or_tone", "some_music", "music_share", "most_music_share"),
    Rule("clipped", "some_clipping", "clipped_share", "most_clipped_share"),
    Rule("narrow_band", "narrow_band", "bandwidth_hz", "least_bandwidth_hz"),
    Rule("too_noisy", "noisy", "snr_db", "least_snr_db"),
)
"""All rules, the most telling first."""

ALONE = ("too_short", "no_speech")
"""Reasons that leave nothing else to say: what is left of such a recording shows no fact."""


def reasons(quality: Quality, limits: Limits) -> tuple[str, ...]:
    """Say why a recording is not to be judged, in codes of `audio.messages.REASONS`; () when it is."""
    broken = tuple(rule.reason for rule in RULES if rule.is_broken(quality, limits))
    return broken[:1] if broken and broken[0] in ALONE else broken


def cautions(quality: Quality, limits: Limits = CAUTIONS) -> tuple[str, ...]:
    """Say what a person should know before trusting a verdict, in codes of `audio.messages.WARNINGS`."""
    return tuple(rule.warning for rule in RULES if rule.is_broken(quality, limits))
