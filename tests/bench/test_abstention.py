"""Limits chosen from what a model was heard to say, and the bench as people run it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tiny_set import write_tiny_set

from audio.cleaning import speech_frames
from audio.errors import UsageError
from bench.abstention import (
    Heard,
    applied,
    by_band,
    by_grade,
    choose,
    combined,
    main,
    of_rule,
    real_fake_eer,
    report,
    risk,
    tables,
)
from bench.worsened import CLEAN, LADDERS, WAYS, Grade
from model.judging.abstain import RULES, Limits, reasons
from model.judging.quality import Quality, measure

RULE = {rule.reason: rule for rule in RULES}

GOOD = Quality(64_000, 48_000, -26.0, -8.0, 30.0, 0.0, 8_000.0, 0.0)


def heard(
    *, right: bool = True, label: str = "real", grade: Grade = CLEAN, path: str = "a.wav", **facts: object
) -> Heard:
    """One recording with certain facts, judged right or wrong."""
    verdict = label if right else {"real": "fake", "fake": "real", "hybrid": "real"}[label]
    probabilities = tuple(0.8 if name == verdict else 0.1 for name in ("real", "fake", "hybrid"))
    return Heard(path, label, grade, replace(GOOD, **facts), probabilities, verdict)


def unheard(**facts: object) -> Heard:
    return replace(heard(**facts), probabilities=None, verdict=None)


NOISY = [
    *(heard(snr_db=30.0) for _ in range(9)),
    heard(snr_db=25.0, right=False),
    *(heard(snr_db=8.0) for _ in range(4)),
    *(heard(snr_db=4.0, right=False) for _ in range(3)),
    heard(snr_db=3.0),
    *(heard(snr_db=-1.0, right=False) for _ in range(2)),
]
"""Six of 20 verdicts are wrong; at 3 dB and above 4 of 18, at 4 dB and above 4 of 17, at 8 dB and above 1 of 14."""


@pytest.mark.parametrize(
    ("most_risk", "limit", "coverage", "kept", "refused"),
    [
        (0.3, None, 1.0, 0.3, None),
        (0.29, 3.0, 0.9, 4 / 18, 1.0),
        (0.2, 8.0, 0.7, 1 / 14, 5 / 6),
        (0.0, 30.0, 0.45, 0.0, 6 / 11),
    ],
)
def test_the_limit_refuses_fewest(most_risk, limit, coverage, kept, refused):
    """Catches a limit that is stricter than need be, and one that leaves more risk than is allowed."""
    choice = choose(NOISY, RULE["too_noisy"], most_risk=most_risk)
    assert (choice.limit, choice.coverage) == (limit, coverage)
    assert choice.risk == pytest.approx(kept)
    assert choice.risk_refused == (None if refused is None else pytest.approx(refused))


def test_the_limit_does_what_was_found():
    """Catches a limit on the wrong side of its edge: the detector must keep exactly what was kept here."""
    for rule, most_risk in ((RULE["too_noisy"], 0.2), (RULE["clipped"], 0.1)):
        clips = [
            replace(each, quality=replace(each.quality, clipped_share=(30.0 - each.quality.snr_db) / 100))
            for each in NOISY
        ]
        choice = choose(clips, rule, most_risk=most_risk)
        kept = [each for each in clips if not reasons(each.quality, combined([choice]))]
        assert len(kept) / len(clips) == choice.coverage
        assert risk(kept) == pytest.approx(choice.risk)


def test_a_rule_by_the_largest_fact():
    """Catches a sign that is turned: clipping is bad where it is high."""
    clips = [heard(clipped_share=0.0), heard(clipped_share=0.02), heard(clipped_share=0.2, right=False)]
    assert choose(clips, RULE["clipped"], most_risk=0.1).limit == pytest.approx(0.02)


def test_no_limit_where_none_helps():
    """Catches a limit that refuses everything, and one for facts that recordings do not show."""
    wrong = [heard(snr_db=snr_db, right=False) for snr_db in (0.0, 10.0, 20.0)]
    assert choose(wrong, RULE["too_noisy"], most_risk=0.5).limit is None
    hidden = [heard(snr_db=None), heard(snr_db=None, right=False), heard(snr_db=5.0, right=False)]
    assert choose(hidden, RULE["too_noisy"], most_risk=0.5).limit is None
    with pytest.raises(UsageError, match="too_noisy: expected clips with a verdict"):
        choose([unheard()], RULE["too_noisy"], most_risk=0.5)


def test_no_verdict_is_no_error():
    """Catches abstentions counted as wrong, or as right."""
    assert risk([heard(), heard(right=False), unheard()]) == 0.5
    assert risk([unheard()]) is None
    assert real_fake_eer([heard(), heard(label="fake"), heard(label="hybrid", right=False), unheard()]) == 0.0
    assert real_fake_eer([heard(), unheard(label="fake")]) is None


def test_bands_hold_every_clip_once():
    """Catches a band without its lower edge, or with its upper one."""
    rows = by_band(NOISY, RULE["too_noisy"])
    assert sum(row["clips"] for row in rows) == len(NOISY)
    assert [(row["from"], row["to"], row["clips"]) for row in rows][:2] == [(-3.0, 0.0, 2), (3.0, 6.0, 4)]
    assert [row["risk"] for row in rows] == [1.0, 0.75, 0.0, 1.0, 0.0]


def test_a_rule_is_chosen_on_its_own_steps():
    """Catches clips worsened in another way that move a limit."""
    other = [heard(grade=LADDERS["clipped"][0], snr_db=30.0, right=False) for _ in range(9)]
    own = [heard(grade=LADDERS["too_noisy"][-1], snr_db=-5.0, right=False)]
    assert of_rule([*NOISY, *other, *own], RULE["too_noisy"]) == [*NOISY, *own]
    rows = by_grade([*NOISY, *other, *own], RULE["too_noisy"])
    assert [(row["clips"], row["risk"]) for row in rows] == [(20, 0.3), (1, 1.0)]


def test_what_limits_cost():
    """Catches shares of the wrong class, and limits that are not applied."""
    clips = [heard(snr_db=2.0), heard(), heard(label="fake", snr_db=2.0), heard(label="fake", snr_db=2.0), unheard()]
    found = applied(clips, Limits(least_snr_db=3.0))
    assert (found["clips"], found["judged"], found["coverage"]) == (5, 1, 0.2)
    assert found["refused"] == {"real": pytest.approx(1 / 3), "fake": 1.0, "hybrid": None}
    assert found["refused_for"]["too_noisy"] == 3


def test_the_report_is_json_and_has_its_tables():
    """Catches infinite edges in JSON, and a table that misses a rule."""
    worse = [heard(grade=grade, right=False, music_share=1.0) for ladder in LADDERS.values() for grade in ladder]
    found = report([*NOISY, *worse], most_risk=None)
    assert found["most_risk"] == pytest.approx(0.6)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    text = "\n".join(tables(found))
    assert all(f"### {reason}" in text for reason in LADDERS)
    with pytest.raises(UsageError, match=r"--risk: expected at least that of the clean clips, 0.300, received 0.1"):
        report(NOISY, most_risk=0.1)


@pytest.mark.parametrize("rule", WAYS)
def test_each_way_moves_its_fact_further_and_further(rule):
    """Catches steps that do nothing, and steps in the wrong order."""
    rng = np.random.default_rng(0)
    swell = 0.02 + np.sin(np.pi * 2.5 * np.arange(64_000) / 16_000) ** 2
    speech = (0.1 * swell * rng.standard_normal(64_000)).astype(np.float32)
    facts = []
    for grade in (CLEAN, *LADDERS[rule]):
        samples = grade.worsen(speech, name="a.wav")
        assert samples.dtype == np.float32
        assert samples.shape == speech.shape
        assert np.array_equal(samples, grade.worsen(speech, name="a.wav"))
        facts.append(getattr(measure(samples, speech_frames(samples)), RULE[rule].fact))
    sign = 1 if RULE[rule].limit.startswith("least") else -1
    assert sign * facts[0] > sign * facts[-1]
    assert all(sign * later <= sign * earlier + 0.02 for earlier, later in pairwise(facts[1:]))
    assert np.array_equal(LADDERS[rule][-1].worsen(0 * speech, name="a.wav"), 0 * speech)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("abstention") / "mine")


def test_the_command(place, tiny_bundle, tmp_path, capsys):
    """Catches limits of the bundle that stop what is measured, and a second run that judges all again."""
    words = ["--manifest", str(place), "--model", str(tiny_bundle), "--clips", "3", "--out", str(tmp_path / "out")]
    assert main([*words, "--json", "--risk", "0.9"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clean"]["none"]["clips"] == 3
    assert found["all"]["none"]["clips"] == 3 * (1 + sum(map(len, LADDERS.values())))
    assert json.loads((tmp_path / "out" / "abstention.json").read_text()) == found
    assert (tmp_path / "out" / "abstention.png").stat().st_size > 1_000
    journal = next((tmp_path / "out").glob("*.jsonl"))
    before = journal.read_bytes()
    assert main([*words, "--risk", "0.9"]) == 0
    assert "### narrow_band" in capsys.readouterr().out
    assert journal.read_bytes() == before


def test_wrong_usage_is_one_line(place, tiny_bundle, tmp_path, capsys, caplog):
    words = ["--manifest", str(place), "--model", str(tiny_bundle), "--out", str(tmp_path)]
    assert main([*words, "--risk", "2"]) == 2
    assert main([*words, "--clips", "0"]) == 2
    assert main([*words, "--split", "none"]) == 2
    assert main(["--manifest", str(tmp_path / "nowhere"), "--model", str(tiny_bundle)]) in (1, 2)
    assert capsys.readouterr().out == ""
    assert [record.message.count("\n") for record in caplog.records] == [0] * 4
