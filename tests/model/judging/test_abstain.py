"""Limits: what they refuse, in which order, and how they are written down."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from talking import talk

from audio.cleaning import speech_frames
from audio.errors import ModelError
from audio.messages import REASONS, WARNINGS
from bench import music
from model.judging.abstain import ALONE, CAREFUL, CAUTIONS, RULES, Limits, cautions, reasons
from model.judging.quality import Quality, measure

GOOD = Quality(
    n_samples=64_000,
    speech_samples=48_000,
    level_dbfs=-26.0,
    peak_dbfs=-8.0,
    snr_db=30.0,
    clipped_share=0.0,
    bandwidth_hz=8_000.0,
    music_share=0.0,
)

BAD = {
    "too_short": {"n_samples": 6_399},
    "no_speech": {"speech_samples": 2_880},
    "music_or_tone": {"music_share": 0.61},
    "clipped": {"clipped_share": 0.051},
    "narrow_band": {"bandwidth_hz": 2_437.5},
    "too_noisy": {"snr_db": -0.1},
}


def found(samples: np.ndarray) -> Quality:
    samples = samples.astype(np.float32)
    return measure(samples, speech_frames(samples))


def test_a_good_recording_is_judged():
    assert reasons(GOOD, CAREFUL) == ()
    assert cautions(GOOD) == ()


@pytest.mark.parametrize("code", BAD)
def test_each_fault_has_its_reason(code):
    """Catches a rule that looks at another fact, or the wrong way round."""
    assert reasons(replace(GOOD, **BAD[code]), CAREFUL) == (code,)


@pytest.mark.parametrize("code", BAD)
def test_a_limit_itself_is_allowed(code):
    """Catches < for <=: the detector of version 1 judged 0.4 s and 0.2 s of speech."""
    rule = next(rule for rule in RULES if rule.reason == code)
    assert reasons(replace(GOOD, **{rule.fact: getattr(CAREFUL, rule.limit)}), CAREFUL) == ()


def test_version_1_knows_length_and_speech_alone():
    """Catches a bundle of version 1 that refuses what it used to judge."""
    everything = {name: value for facts in list(BAD.values())[2:] for name, value in facts.items()}
    assert reasons(replace(GOOD, **everything), Limits()) == ()
    assert reasons(replace(GOOD, **BAD["too_short"]), Limits()) == ("too_short",)
    assert reasons(replace(GOOD, **BAD["no_speech"]), Limits()) == ("no_speech",)
    assert Limits.from_json(None) == Limits.from_json({}) == Limits()


def test_all_reasons_that_can_be_told_are():
    """Catches a first reason that hides the others, and facts about a recording too short to show any."""
    faults = {name: value for facts in BAD.values() for name, value in facts.items()}
    long = faults | {"n_samples": 64_000, "speech_samples": 64_000}
    assert reasons(replace(GOOD, **long), CAREFUL) == tuple(code for code in BAD if code not in ALONE)
    assert reasons(replace(GOOD, **faults), CAREFUL) == ("too_short",)
    assert reasons(replace(GOOD, **faults | {"n_samples": 64_000}), CAREFUL) == ("no_speech",)


@pytest.mark.parametrize("code", BAD)
def test_none_switches_a_rule_off(code):
    rule = next(rule for rule in RULES if rule.reason == code)
    assert reasons(replace(GOOD, **BAD[code]), replace(CAREFUL, **{rule.limit: None})) == ()


def test_what_a_recording_does_not_show_refuses_nothing():
    """Catches a comparison with None."""
    assert reasons(replace(GOOD, snr_db=None, bandwidth_hz=None), CAREFUL) == ()


def test_warnings_come_before_reasons():
    """Catches a caution that is laxer than the limit, so that nothing is ever warned of."""
    for rule in RULES:
        sign = 1 if rule.limit.startswith("least") else -1
        assert sign * getattr(CAUTIONS, rule.limit) > sign * getattr(CAREFUL, rule.limit)
    telephone = replace(GOOD, bandwidth_hz=3_437.5)
    assert (reasons(telephone, CAREFUL), cautions(telephone)) == ((), ("narrow_band",))


def test_every_code_has_words():
    """Catches a code that the command line cannot say, and words that no rule uses."""
    assert {rule.reason for rule in RULES} == set(REASONS)
    assert {rule.warning for rule in RULES} == set(WARNINGS)


def test_every_rule_has_its_fact_and_its_limit():
    """Catches a limit that no rule reads."""
    assert {rule.limit for rule in RULES} == {field.name for field in fields(Limits)}
    assert {rule.fact for rule in RULES} <= {field.name for field in fields(Quality)}


@pytest.mark.parametrize("limits", [Limits(), CAREFUL, CAUTIONS, Limits(least_samples=None, least_snr_db=-3.5)])
def test_limits_survive_json(limits):
    assert Limits.from_json(json.loads(json.dumps(limits.to_json()))) == limits


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"most_clipping": 0.1}, "expected some of least_samples, .*, received 'most_clipping'"),
        ({"most_clipped_share": 5}, "most_clipped_share: expected a share of 0 to 1, or null, received 5"),
        ({"least_snr_db": "0"}, "least_snr_db: expected a number of dB, or null, received '0'"),
        ({"least_snr_db": float("nan")}, "least_snr_db: expected a number"),
        ({"least_bandwidth_hz": -1.0}, "least_bandwidth_hz: expected a frequency of 0 Hz or more"),
        ({"least_samples": 0.4}, "least_samples: expected a whole number of samples"),
        ({"least_speech_samples": True}, "least_speech_samples: expected a whole number"),
        (["most_clipped_share"], "expected some of"),
    ],
)
def test_broken_limits_are_one_clear_line(facts, message):
    with pytest.raises(ModelError, match=f"^limits: .*{message}"):
        Limits.from_json(facts)


def test_recordings_from_end_to_end():
    """Catches limits that do not fit what is measured."""
    speech = talk(4.0, seed=0)
    ceiling = 0.12 * np.abs(speech).max()
    spectrum = np.fft.rfft(speech)
    spectrum[np.fft.rfftfreq(speech.size, 1 / 16_000) > 1_500] = 0.0
    noise = np.random.default_rng(0).standard_normal(speech.size)
    assert reasons(found(speech), CAREFUL) == ()
    assert reasons(found(speech[:6_399]), CAREFUL) == ("too_short",)
    assert reasons(found(0 * speech), CAREFUL) == ("no_speech",)
    assert reasons(found(music.melody(4.0, seed=0)), CAREFUL) == ("music_or_tone",)
    assert reasons(found(np.clip(speech, -ceiling, ceiling)), CAREFUL) == ("clipped",)
    assert reasons(found(np.fft.irfft(spectrum)), CAREFUL) == ("narrow_band",)
    assert reasons(found(speech + 0.3 * noise), CAREFUL) == ("too_noisy",)
