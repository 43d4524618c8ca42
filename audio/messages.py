"""Every text for people: stable codes and keys on the left, plain English on the right.

Programs read the codes, people read the words. `translations.toml` beside this file has the same words in other
languages, where somebody wrote them; within `speaking` they are taken from there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from audio.errors import ToolkitError

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "too_short": "the recording is too short to judge",
        "no_speech": "no speech was found in the recording",
        "music_or_tone": "the recording is mostly music or tones",
        "clipped": "the recording is so overloaded that its waves are cut off",
        "narrow_band": "the recording lacks the higher frequencies that a verdict needs",
        "too_noisy": "the noise is too loud for a verdict on the speech",
    }
)
"""Why a recording was not judged: reason code -> words."""

WARNINGS: Mapping[str, str] = MappingProxyType(
    {
        "short": "the recording is short: expect more errors",
        "little_speech": "the recording holds little speech: expect more errors",
        "some_music": "part of the recording is music or tones: a verdict on those parts means nothing",
        "some_clipping": "the recording is overloaded in places: expect more errors",
        "narrow_band": "the recording lacks high frequencies, as telephone calls do: expect more errors",
        "noisy": "the recording is noisy: expect more errors",
    }
)
"""What to know before trusting a verdict: warning code -> words. None of them stops the judging."""

TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "real": "Real: nothing in it looks synthetic (probability {probability:.0%}).",
        "fake": "Fake: the speech looks synthetic throughout (probability {probability:.0%}).",
        "hybrid_one": (
            "Hybrid: 1 span looks synthetic, {spans}; {genuine:.0%} of the clip looks genuine "
            "(probability {probability:.0%})."
        ),
        "hybrid": (
            "Hybrid: {n_segments} spans look synthetic, {spans}; {genuine:.0%} of the clip looks genuine "
            "(probability {probability:.0%})."
        ),
        "abstained": "Not judged: {reason}.",
        "and": "{first} and {last}",
        "more": "{n_more} more",
        "span": "{start_s:.2f}-{end_s:.2f} s",
        "located": "{label} {start_s:.2f}-{end_s:.2f} s, confidence {confidence:.2f}",
        "ends": "; it begins at {first_s:.2f}-{last_s:.2f} s and ends at {first_end_s:.2f}-{last_end_s:.2f} s",
        "file": "file: {container}, {codec}, {rate_khz:g} kHz, channels: {channels}, read by {decoder}",
        "sound": "sound: up to {bandwidth_khz:.1f} kHz",
        "noise": ", speech {snr_db:.0f} dB over its noise",
        "mind": "mind: {warning}",
        "live": "{now_s:8.1f} s  {verdict}",
        "live_level": "{now_s:8.1f} s  [{bar}] {level_dbfs:4.0f} dB  {verdict}",
        "live_verdict": "{label} {probability:.0%}",
        "live_part": " in the last {part_s:.0f} s",
        "live_spans": ", fake {spans}",
        "live_waiting": "not judged yet: {reason}",
        "live_final": "fake {start_s:.2f}-{end_s:.2f} s, confidence {confidence:.2f}, final",
        "live_begins": "listening to {name}; Ctrl-C ends it and gives the verdict on the whole",
        "live_lost": "{n} times until {now_s:.1f} s sound was lost, because this machine was busy",
        "channel": "{path}, channel {channel}",
        "evidence": (
            "A verdict is evidence, not proof. It says how far the sound of this file resembles speech that a program "
            "made, as far as the model has heard such programs. It does not say who spoke, who made the file, or why."
        ),
        "repeat": (
            "A second examiner gets the same result from the same bytes with the same model and settings; the hashes "
            "below say whether they are the same."
        ),
        "ends_note": (
            "The ranges say where an end might lie as well: how exactly the model points, not how right it is."
        ),
        "heard_note": "What was judged: {what}, brought to 16 kHz. Each button plays one fake span.",
        "excerpts_note": "Too long to keep whole: the first {n} fake spans, with a second before and behind each.",
        "explained_fake": "what raises the fake scores: {share:.0%} of it in the spans judged fake, most at {bands}",
        "explained_real": "what keeps the fake scores down: most at {bands}",
        "explained_nothing": "no part of the spectrogram alone carries the scores",
        "explained_band": "{low_khz:.1f}-{high_khz:.1f} kHz ({share:.0%})",
        "explained_left_out": "; explained are the first {explained_s:.0f} of {asked_s:.0f} s",
        "explained_note": (
            "The map shows how far the fake scores fall or rise when a part of the spectrogram is covered: what this "
            "model reacts to. That need not be what was done to the recording, and proves nothing."
        ),
        "point_note": (
            "Operating point {name}: of {genuine_clips} genuine recordings of {speakers} speakers that the model was "
            "tuned on, {false_alarms:.1%} are accused (95 % interval {low:.1%} to {high:.1%})."
        ),
        "page_title": "Real, fake or hybrid speech?",
        "page_lead": (
            "Finds speech that a program made, and where it was put into a genuine recording. Sound stays on "
            "the machine that runs this page."
        ),
        "page_language": "Language",
        "page_check": "Check recordings",
        "page_build": "Build a hybrid",
        "page_about": "How it decides",
        "page_upload": "Recordings, in any audio or video format",
        "page_record": "Or record with the microphone",
        "page_recorded": "microphone",
        "page_judging": "Judging {name}",
        "page_point": "How much evidence an accusation needs",
        "page_unmeasured": "Operating point {name}: nobody measured how many genuine recordings it accuses.",
        "page_channels": "Judge each channel on its own",
        "page_probability": "Probability",
        "page_real": "real",
        "page_fake": "fake",
        "page_hybrid": "hybrid",
        "page_player": "Waveform with {n} fake spans. Each button plays one.",
        "page_player_none": "Waveform. No span was found to be fake.",
        "page_play": "Play fake span {span}",
        "page_chosen": "Chosen span {span}: play it",
        "page_picture": "Waveform, mel spectrogram and P(fake) over time. {sentence}",
        "page_spans": "Fake spans",
        "page_begins": "begins, s",
        "page_ends": "ends, s",
        "page_confidence": "confidence",
        "page_explain": "Explain what carried it (takes about a second for each second)",
        "page_downloads": "Downloads",
        "page_report": "HTML report",
        "page_too_long": (
            "{name} is longer than {minutes:.0f} minutes. For long recordings: python script.py detect FILE, or scan."
        ),
        "page_unreadable": "This file cannot be read as a recording. {error}",
        "page_genuine_clip": "Genuine recording",
        "page_fake_clip": "Fake recording",
        "page_build_lead": (
            "Puts a piece of a fake recording into a genuine one. The label file says where: that is the "
            "truth to compare with."
        ),
        "page_replaced": "What is replaced in the genuine one, in seconds",
        "page_taken": "What is taken from the fake one, in seconds",
        "page_fade": "Crossfade, in milliseconds (0: a hard cut)",
        "page_match": "Match loudness",
        "page_splice": "Splice and judge",
        "page_truth": "Truth: fake in {spans}.",
        "page_clip_file": "Spliced clip (WAV)",
        "page_label_file": "Its labels (Audacity)",
        "page_steps": (
            "Speech is cut into windows of {window_s:.0f} s every {step_s:.0f} s. A network looks at the mel "
            "spectrogram of each and gives P(fake) every {hop_ms:.0f} ms and a vote on the whole; both are "
            "calibrated and joined so that verdict and spans agree."
        ),
        "page_cannot": "What it cannot tell",
        "page_cannot_list": (
            "- Generators unlike those that it was trained on may pass as real.\n- Short fake spans in "
            "genuine speech are often missed.\n- Genuine recordings are accused too: the operating point says "
            "how often, where it was measured.\n- It knows no speakers and no contents."
        ),
        "page_model": "The model",
        "page_trained_on": "Trained on",
        "page_limits": (
            "Not judged is a recording that is too short, without speech, or beyond the limits of the model; "
            "up to {minutes:.0f} minutes and {mb} MB are taken."
        ),
    }
)
"""What is said of a result; the names in braces are the facts that `text` expects."""


LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français"})
"""Languages by their codes (ISO 639-1), as they call themselves."""

_language: ContextVar[str] = ContextVar("language", default="en")


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Take the words from another language meanwhile, in this thread; what it lacks stays English.

    Raises
    ------
    ToolkitError
        For a language that is not one of `LANGUAGES`.
    """
    if language not in LANGUAGES:
        raise ToolkitError(f"language: expected one of {', '.join(LANGUAGES)}, received {language!r}")
    before = _language.set(language)
    try:
        yield
    finally:
        _language.reset(before)


@lru_cache(maxsize=1)
def translations() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Return language -> "reasons", "warnings" or "texts" -> key -> words."""
    return tomllib.loads(Path(__file__).with_name("translations.toml").read_text(encoding="utf-8"))


def reason_text(code: str) -> str:
    """Return the words for a reason code; raise `ToolkitError` for an unknown one."""
    return _lookup(REASONS, "reasons", code, "reason code")


def warning_text(code: str) -> str:
    """Return the words for a warning code; raise `ToolkitError` for an unknown one."""
    return _lookup(WARNINGS, "warnings", code, "warning code")


def text(key: str, **facts: object) -> str:
    """Return the sentence for `key` with its facts filled in.

    Probabilities and shares are 0 to 1, names that end in `_s` are seconds, `reason` is the result of `reason_text`.
    Facts that the sentence does not mention are ignored, so a caller may pass all it knows.

    Raises
    ------
    ToolkitError
        For an unknown key or a missing fact.
    """
    template = _lookup(TEXTS, "texts", key, "text")
    try:
        return template.format_map(facts)
    except KeyError as error:
        raise ToolkitError(f"text {key!r}: expected the fact {error}, received {sorted(facts)}") from None


def listing(parts: Sequence[str], *, at_most: int) -> str:
    """Join parts with commas and an "and"; beyond `at_most`, say how many more there are."""
    shown = list(parts) if len(parts) <= at_most else [*parts[:at_most], text("more", n_more=len(parts) - at_most)]
    if len(shown) < 2:
        return "".join(shown)
    return text("and", first=", ".join(shown[:-1]), last=shown[-1])


def _lookup(catalogue: Mapping[str, str], name: str, key: str, kind: str) -> str:
    if key not in catalogue:
        raise ToolkitError(f"unknown {kind}: expected one of {', '.join(catalogue)}, received {key!r}")
    language = _language.get()
    return catalogue[key] if language == "en" else translations()[language][name].get(key, catalogue[key])
