"""What the card's figures and verdicts are made of: targets, hashes, sets that must not meet, treatments, intervals."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import RATE, voice

from apps import cost
from apps.pretraining import measuring, sets, wording
from apps.pretraining.findings import LEAST_GENUINE, SMALLER, Findings, Where, corpus_part
from apps.pretraining.sets import Coded, Corpus, Sped, check_apart, clips_sha256, genuine_corpora, treatments
from apps.pretraining.targets import FALSE_ALARMS, MISSED, REACHED, STRETCH, TREATED, UNKNOWN, Target, decide, targets
from audio.errors import ManifestError, UsageError
from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip
from audio.pages import markdown_cell
from audio.reading import write_wav
from audio.segments import Segment
from model.evaluation.figures import Figure, sample
from model.evaluation.judged import Judged

LARGE = Corpus("large", "test", True, (Clip("a.wav", REAL),) * LEAST_GENUINE)
SMALL = Corpus("small", "test", True, (Clip("b.wav", REAL),))
HEARD = Corpus("heard", "test", False, (Clip("c.wav", REAL),) * 40)


# Targets


def wanted() -> list[Target]:
    return targets([LARGE, SMALL, HEARD], treatments())


def test_every_target_of_the_issue_is_there():
    """Catches a promise that is forgotten, among them one for each genuine corpus that training never met."""
    goals = {(target.where, target.key): (target.goal, target.stretch) for target in wanted()}
    assert len(goals) == len(wanted()) == 16
    assert goals[Where("rows"), "clip_eer"] == (0.10, 0.05)
    assert goals[Where("hybrids"), "macro_f1"] == (0.80, 0.90)
    assert goals[Where("partial"), "segment_eer_20ms"] == (0.35, 0.20)
    for part in (corpus_part("large", "test", True), f"unseen: {SMALLER}"):
        assert goals[Where("corpora", part), "false_alarms"] == (FALSE_ALARMS, None)
    for name in TREATED:
        assert goals[Where("hybrids", treatment=name), "macro_f1_loss"] == (0.08, None)
    assert goals[Where("cost"), "judging_ms_per_s"] == (4.0, None)


@pytest.mark.parametrize("target", wanted(), ids=lambda target: target.measure)
def test_a_verdict_flips_with_its_figure(target):
    """Catches a verdict that looks at another figure, or the wrong way, or does not move at all."""
    worse = -1e-9 if target.at_least else 1e-9

    def verdict(value: float | None) -> str:
        found = Findings()
        found.add(target.where, [Figure(target.key, "", "", value, n=1)])
        return decide([target], found)[0].verdict

    assert verdict(target.goal) == REACHED
    assert verdict(target.goal + worse) == MISSED
    assert verdict(None) == decide([target], Findings())[0].verdict == UNKNOWN
    if target.stretch is not None:
        assert verdict(target.stretch) == STRETCH
        assert verdict(target.stretch + worse) == REACHED


# Sets


@pytest.fixture
def recordings(tmp_path) -> list[Clip]:
    clips = [Clip(f"{name}.wav", REAL, speaker=name, traits={"origin": "here"}) for name in "ab"]
    for seed, clip in enumerate(clips):
        write_wav(tmp_path / clip.path, voice(np.random.default_rng(seed), 0.5))
    return clips


def test_the_hash_knows_recordings_and_rows_and_no_order(recordings, tmp_path):
    """Catches a card whose stamp stays while what was judged, or what was true of it, changed."""
    before = clips_sha256(tmp_path, recordings)
    assert clips_sha256(tmp_path, [*recordings[::-1], recordings[0]]) == before
    others = [
        [recordings[0], replace(recordings[1], speaker="c")],
        [recordings[0], replace(recordings[1], label=FAKE)],
        [recordings[0], replace(recordings[1], traits={})],
        recordings[:1],
    ]
    hashes = {before, *(clips_sha256(tmp_path, clips) for clips in others)}
    write_wav(tmp_path / "b.wav", voice(np.random.default_rng(9), 0.5))
    hashes.add(clips_sha256(tmp_path, recordings))
    assert len(hashes) == 2 + len(others)


def test_what_decides_a_set_decides_its_folder(tmp_path, monkeypatch):
    """Catches hybrids of an older recipe, or of older rows, taken for those of today."""
    first = sets._key("corpus")
    assert sets._key("another") != first
    monkeypatch.setattr(sets, "RECIPE", tmp_path / "hybrids.toml")
    sets.RECIPE.write_text("clips = 1\n")
    second = sets._key("corpus")
    assert second != first
    monkeypatch.setattr(sets, "code_sha256", lambda *rooms: "other code")
    assert sets._key("corpus") not in (first, second)


def test_unseen_corpora():
    """Catches a corpus that training knew called unseen, and one that it did not know left out."""

    def row(name: str, split: str, origin: str, *, speaker: str = "", label: str = REAL, ship: str = "yes") -> Clip:
        return Clip(f"{name}.wav", label, speaker=speaker, split=split, traits={"origin": origin, "ship": ship})

    rows = [
        row("1", "train", "known", speaker="ann"),
        row("2", "train", "only fakes", label=FAKE),
        row("3", "train", "not used", ship="unstated"),
        row("4", "test", "known"),
        row("5", "test", "only fakes"),
        row("6", "test", "not used"),
        row("7", "dev", "new"),
        row("8", "dev", "new", speaker="ann"),
        row("9", "test", "new", label=FAKE),
    ]
    found = {
        (corpus.name, corpus.split, corpus.unseen): [clip.path for clip in corpus.clips]
        for corpus in genuine_corpora(rows, splits=("dev", "test"))
    }
    assert found == {
        ("known", "test", False): ["4.wav"],
        ("only fakes", "test", True): ["5.wav"],
        ("not used", "test", True): ["6.wav"],
        ("new", "dev", True): ["7.wav"],
        ("new", "dev", False): ["8.wav"],
    }
    assert {corpus.split for corpus in genuine_corpora(rows, splits=("dev",))} == {"dev"}


ROWS = (
    Clip("train.wav", REAL, speaker="ann", split="train"),
    Clip("train-fake.wav", FAKE, generator="old", speaker="ann", split="train"),
    Clip("test.wav", REAL, speaker="bob", split="test"),
    Clip("test-fake.wav", FAKE, generator="new", speaker="ann", split="test"),
    Clip("test-ann.wav", REAL, speaker="ann", split="test"),
    Clip("test-old.wav", FAKE, generator="old", split="test"),
)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("train.wav", "sources of the split test"),
        ("test-ann.wav", "speakers of no other split"),
        ("test-old.wav", "generators of no other split"),
    ],
)
def test_hybrids_that_training_knows_are_refused(source, reason):
    """Catches test hybrids with a voice, a generator or a recording that training heard."""
    good = Clip("hybrid/1.wav", HYBRID, sources=({"path": "test.wav"}, {"path": "test-fake.wav"}))
    check_apart([good], ROWS, split="test")
    with pytest.raises(ManifestError, match=f"^hybrid/2.wav: expected {reason}"):
        check_apart([good, replace(good, path="hybrid/2.wav", sources=({"path": source},))], ROWS, split="test")


def test_dev_may_share_a_voice():
    """Catches a look before that is not possible, because LJSpeech's voice is everywhere."""
    rows = [replace(row, split="dev") if row.split == "test" else row for row in ROWS]
    check_apart([Clip("hybrid/1.wav", HYBRID, sources=({"path": "test-ann.wav"},))], rows, split="dev")


# Treatments


def test_treatments_are_known_to_the_targets_and_travel():
    """Catches a target whose treatment nobody carries out, and one that cannot go to another process."""
    every = treatments()
    names = [treatment.name for treatment in every]
    assert len(set(names)) == len(names)
    assert set(TREATED) <= {treatment.name for treatment in every if not treatment.genuine_only}
    for treatment in every:
        assert pickle.loads(pickle.dumps(treatment.alter)) == treatment.alter


def test_coded_recordings_keep_their_length_and_truth():
    samples = voice(np.random.default_rng(1), 1.0, fake_s=[(0.2, 0.5)])
    clip = Clip("a.wav", HYBRID, (Segment(3_200, 8_000),), samples.size)
    [(coded, after)] = Coded("opus", 24)([(samples, clip)])
    assert after == clip
    assert coded.shape == samples.shape
    assert not np.array_equal(coded, samples)


def test_speed_is_for_genuine_recordings():
    """Catches spans that stay where they were while the speech moves on."""
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    slower = next(treatment for treatment in treatments() if treatment.name == "speed_0.9")
    [(altered, _), (empty, _)] = slower.alter([(tone, Clip("a.wav", REAL)), (tone[:0], Clip("b.wav", REAL))])
    assert abs(altered.size - RATE / 0.9) <= 1
    assert np.argmax(np.abs(np.fft.rfft(altered))) * RATE / altered.size == pytest.approx(440 * 0.9, abs=1)
    assert empty.size == 0
    assert isinstance(slower.alter, Sped)
    with pytest.raises(UsageError, match=r"expected genuine clips only, received c\.wav"):
        slower.alter([(tone, Clip("c.wav", FAKE))])


# Figures


def judged(number: int, truth: str, verdict: str | None, *, sure: float = 0.8) -> Judged:
    """A clip of 2 s by one of four speakers, hybrid in its second half, found there where the verdict says so."""
    spans = (Segment(16_000, 32_000),) if truth == HYBRID else (Segment(0, 32_000),) if truth == FAKE else ()
    clip = Clip(f"{truth}/{number}.wav", truth, spans, 32_000, speaker=f"speaker {number % 4}")
    chances = {label: sure if label == verdict else (1 - sure) / 2 for label in (REAL, FAKE, HYBRID)}
    if verdict is None:
        return Judged(clip, 32_000, reasons=("too_short",))
    found = (Segment(16_000 + 160 * (number % 3), 32_000, FAKE, 0.9),) if verdict == HYBRID else ()
    scores = np.full(100, chances[FAKE] + chances[HYBRID], dtype=np.float32)
    return Judged(clip, 32_000, 1 - chances[REAL], verdict, tuple(chances.values()), scores, 320, found)


def clips(*verdicts: tuple[str, str | None]) -> list[Judged]:
    return [judged(number, *each) for number, each in enumerate(verdicts * 4)]


def test_shares_count_who_is_wronged():
    """Catches an abstention counted as an accusation or a miss, and a share without the clips that got no verdict."""
    given = sample(clips((REAL, REAL), (REAL, HYBRID), (REAL, None), (REAL, FAKE), (FAKE, REAL), (FAKE, None)))
    found = {figure.key: figure for figure in measuring.shares(given)}
    assert {key: (figure.value, figure.n) for key, figure in found.items()} == {
        **{"false_alarms": (0.5, 16), "missed_fake": (0.5, 8), "abstained": (1 / 3, 24)}
    }
    alarms = found["false_alarms"]
    assert alarms.low < 0.5 < alarms.high


def test_a_loss_is_that_of_the_same_speakers():
    """Catches a difference of two intervals drawn apart, which is far too wide, and a sign the wrong way."""
    right = clips((REAL, REAL), (FAKE, FAKE), (HYBRID, HYBRID))
    worse = [replace(each, label=REAL) if each.clip.label == HYBRID else each for each in right]
    mixed = [replace(each, label=FAKE) if each.clip.speaker == "speaker 1" else each for each in right]
    same = measuring.loss(sample(mixed), sample(mixed))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    lost = measuring.loss(sample(right), sample(worse))
    assert lost.value == pytest.approx(1 - (2 / 3 + 1) / 3)
    assert measuring.loss(sample(worse), sample(right)).value == pytest.approx(-lost.value)
    assert lost.low <= lost.value <= lost.high


def test_calibration_error_has_an_interval():
    """Catches an interval that is not of this figure, and clips without a verdict that count as sure."""
    given = sample(clips((REAL, REAL), (FAKE, REAL), (HYBRID, HYBRID), (REAL, None)))
    found = measuring.calibration_error(given)
    assert found.n == 12
    assert found.value == pytest.approx(0.8 - 2 / 3)
    assert found.low < found.value + 1e-9
    assert found.high > found.low
    alone = measuring.calibration_error(sample(clips((REAL, REAL))[:1]))
    assert (alone.low, alone.high) == (None, None)


def test_the_surest_verdicts_are_wrong_less_often():
    """Catches clips without a verdict that count as judged, a risk of the wrong end, and ties that are parted."""
    given = [judged(number, REAL, REAL, sure=0.9) for number in range(6)]
    given += [judged(number, FAKE, REAL, sure=0.6) for number in range(2)]
    given += [judged(number, HYBRID, HYBRID, sure=0.6) for number in range(2)]
    found = {f.key: f for f in measuring.selective(sample([*given, judged(0, FAKE, None)]))}
    assert {key: (figure.value, figure.n) for key, figure in found.items() if key != "aurc"} == {
        **{"risk_at_100": (0.2, 10), "risk_at_90": (0.2, 10), "risk_at_75": (0.2, 10), "risk_at_50": (0.0, 10)},
        "coverage_at_5": (0.6, 10),
    }
    for figure in found.values():
        assert figure.low <= figure.value <= figure.high


def test_medians_under_weights():
    """Catches a median that takes weights for values, or forgets that there are two middles."""
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=7), rng.integers(0, 4, size=(50, 7)).astype(np.int16)
    weights[0] = 0
    found = measuring._weighted_medians(values, weights)
    assert np.isnan(found[0])
    expected = [np.median(np.repeat(values, row)) for row in weights[1:]]
    np.testing.assert_allclose(found[1:], expected)


def test_boundaries_are_medians_of_matches():
    found = measuring.boundary(sample(clips((HYBRID, HYBRID), (HYBRID, HYBRID), (HYBRID, REAL))), "onset")
    assert (found.n, found.unit) == (8, "matched spans")
    assert found.value == pytest.approx(0.005)  # found late by 0 and by 10 ms, equally often
    assert found.low <= found.value <= found.high


def test_parts_without_genuine_clips_are_ranked_against_all_of_them():
    """Catches an undefined figure for every generator, and a share over another part's clips."""
    every = clips((REAL, REAL), (REAL, HYBRID), (FAKE, FAKE), (FAKE, REAL))
    every = [
        replace(each, clip=replace(each.clip, generator="" if each.clip.label == REAL else each.label))
        for each in every
    ]
    found = {
        value: (own, {figure.key: figure.value for figure in figures})
        for value, own, figures in measuring.parts(sample(every), lambda each: each.clip.generator, fewest=4)
    }
    assert set(found) == {FAKE, REAL}
    own, figures = found[REAL]
    assert len(own.judged) == 4
    assert figures["missed_fake"] == 1.0
    assert "false_alarms" not in figures
    assert figures["clip_eer"] == pytest.approx(0.75)
    assert found[FAKE][1]["clip_eer"] == pytest.approx(0.25)
    assert not list(measuring.parts(sample(every), lambda each: each.clip.generator, fewest=5))


# Words


def test_a_cell_is_no_markup():
    assert markdown_cell("a|b\n<i>*x*</i> `_`") == r"a\|b \<i\>\*x\*\</i\> \`\_\`"
    assert wording.table(("a",), []) == ""


def test_numbers_read_as_their_figures_are():
    """Catches a macro-F1 in percent, an EER as a fraction, and seconds where milliseconds are meant."""
    written = {
        **{"clip_eer": "12.3 %", "macro_f1_loss": "0.123", "onset_error_s": "123 ms", "judging_ms_per_s": "0.12 ms"},
    }
    assert {key: wording.number(0.1234, key) for key in written} == written
    assert wording.both(Figure("clip_eer", "", "", 0.1, 0.05, 0.2)) == "10.0 % (5.0 to 20.0)"
    assert wording.both(Figure("clip_eer", "", "", None)) == wording.both(None) == "-"
    assert wording.of_hundred(Figure("false_alarms", "", "", 0.004, 0.0, 0.02)).startswith("fewer than 1 (95 %")


def test_where_places_are_bad_it_says_so():
    """Catches a coin toss that reads like a success."""
    words = [wording.how_well_placed(Figure("segment_eer_20ms", "", "", value)) for value in (0.5, 0.3, 0.1, None)]
    assert [each.split()[0] for each in words] == ["hardly", "weak:", "better", "not"]


# Cost


def test_the_cost_is_measured_once(tiny_bundle, tmp_path):
    """Catches a card that differs from run to run, and a cost that belongs to another audio than was judged."""
    paths = [tmp_path / f"{number}.wav" for number in range(2)]
    for number, path in enumerate(paths):
        write_wav(path, voice(np.random.default_rng(number), 2.0))
    found = cost.measure(tiny_bundle, paths)
    assert (found["clips"], found["seconds"], found["runs"]) == (2, 4.0, cost.RUNS)
    median, least, greatest = found["judging"]
    assert 0 < least <= median <= greatest
    assert found["with_decoding"][0] > 0
    kept = tmp_path / "cost.json"
    kept.write_text(json.dumps(found))
    assert cost.cost(Path("no bundle"), [], kept=kept) == found
    figures = {figure.key: (figure.value, figure.low, figure.high) for figure in cost.cost_figures(found)}
    assert figures["judging_ms_per_s"] == (median, least, greatest)


def test_clips_are_spread():
    many = [Clip(f"{number}.wav", REAL) for number in range(100)]
    assert [clip.path for clip in cost.spread(many, 3)] == ["0.wav", "50.wav", "99.wav"]
    assert cost.spread(many[:2], 5) == many[:2]
    assert cost.spread([], 5) == []
