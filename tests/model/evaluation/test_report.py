"""Evaluations as text, JSON and pages: nothing missing, nothing from outside, and no set that can break them."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from audio.errors import ToolkitError
from audio.labels import FAKE, HYBRID, LABELS, REAL
from audio.manifest import Clip
from audio.segments import Segment
from model.evaluation import report
from model.evaluation.breakdown import Breakdown, Part, break_down
from model.evaluation.figures import Figure, Operating, sample, summarise
from model.evaluation.judged import Judged
from model.evaluation.report import Evaluation, evaluation_text, own_warnings, write_report
from model.evaluation.robustness import KEYS, Moves, Robustness, compare

N_SAMPLES = 16_000
HOP = 320
SPANS = {REAL: (), FAKE: (Segment(0, N_SAMPLES),), HYBRID: (Segment(4_000, 9_000),)}
EVIL = "<script>alert('x')</script> & \"q\" {{ 7 * 7 }} $x_1$ %s"
OPERATING = Operating("dev (9 clips)", clip_threshold=0.5, frame_threshold=0.45, log_prior_odds=0.7)
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "figure", "img", "figcaption"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
}
FACTS = {"model": "tiny", "bundle SHA-256": "abc"}


def judged(number: int, label: str, *, rng: np.random.Generator, **clip_facts) -> Judged:
    """A clip of one second, judged rightly more often than not."""
    given = Clip(f"{label}/{number}.wav", label, SPANS[label], N_SAMPLES, **clip_facts)
    leaning = np.array([label == REAL, label == FAKE, label == HYBRID]) * 1.5 + rng.normal(size=3)
    probabilities = tuple((np.exp(leaning) / np.exp(leaning).sum()).tolist())
    called = LABELS[int(np.argmax(probabilities))]
    frames = rng.uniform(0, 0.7, N_SAMPLES // HOP).astype(np.float32)
    for span in SPANS[label]:
        frames[span.onset // HOP : span.offset // HOP] += 0.3
    spans = tuple(replace(span, confidence=0.8) for span in SPANS[called])
    said = {"label": called, "probabilities": probabilities, "score": 1.0 - probabilities[0], "spans": spans}
    return Judged(given, N_SAMPLES, frame_scores=frames, hop_samples=HOP, pitch_hz=150.0, snr_db=20.0, **said)


def clips(*, n: int = 36, speakers: int = 12, generator: str = "world", seed: int = 0) -> list[Judged]:
    """Judged clips, the classes in turn."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        label = LABELS[i % 3]
        by = "" if label == REAL else (generator, "lpc")[i % 2]
        made.append(judged(i, label, rng=rng, speaker=f"s{i % speakers}" if speakers else "", generator=by))
    return made


def evaluation(rows: Sequence[Judged], operating: Operating | None = OPERATING, **facts) -> Evaluation:
    """Everything about some clips, and how it moves when their scores are drawn anew."""
    given = sample(rows, n_resamples=20)
    worse = sample(clips(n=len(rows), seed=1), n_resamples=20)
    stress = [compare(given, worse, name="noise", words="noise as loud as speech", operating=operating)]
    parts = tuple(break_down(given, operating))
    found = {"facts": FACTS, "figures": tuple(summarise(given, operating)), "stress": tuple(stress)}
    named = {"name": "mine, test", "breakdowns": parts, "operating": operating, **found, **facts}
    return Evaluation(sample=given, **named)


@pytest.fixture(scope="module")
def whole() -> Evaluation:
    return evaluation(clips(), warnings=("something to know",))


@pytest.fixture(scope="module")
def page(whole, tmp_path_factory) -> Page:
    return written(whole, tmp_path_factory.mktemp("page"))


class Page(HTMLParser):
    """A page as a browser sees it: elements, tables as rows of cells, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text("utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.lasttag in ("td", "th") and data.strip():
            self.rows[-1][-1] += data

    def headings(self) -> list[str]:
        return re.findall("<h2>(.*)</h2>", self.source)


def written(found: Evaluation, folder: Path) -> Page:
    write_report(folder / "report.html", found)
    return Page(folder / "report.html")


# JSON


def test_json_is_finite_and_whole(whole):
    """Catches NaN, numpy's numbers and tuples in JSON, and a part of the evaluation that is left out of it."""
    told = json.loads(json.dumps(whole.to_json(), allow_nan=False))
    assert told == whole.to_json()
    assert (told["schema_version"], told["name"], told["positive_class"]) == (1, "mine, test", "fake")
    assert (told["clips"], told["speakers"]) == ({"real": 12, "fake": 12, "hybrid": 12}, 12)
    assert told["intervals"] == {"level": 0.95, "clustered_by": "speaker", "resamples": 20, "seed": 0}
    assert (told["facts"], told["warnings"]) == (FACTS, ["something to know"])
    assert told["operating"]["clip_threshold"] == 0.5
    assert [figure["key"] for figure in told["figures"]] == [figure.key for figure in whole.figures]
    assert len({figure["key"] for figure in told["figures"]}) == len(whole.figures)
    assert all(figure["value"] == own.value for figure, own in zip(told["figures"], whole.figures, strict=True))
    (generators,) = [each for each in told["breakdowns"] if each["name"] == "generator"]
    assert [part["value"] for part in generators["parts"]] == ["lpc", "world"]
    assert told["stress"][0]["verdicts"]["n_clips"] == 36


def test_a_threshold_that_nothing_reaches_has_json(whole):
    """Catches a crash at the very end where dev scores are useless: their threshold is infinite, and JSON has no such
    number."""
    given = Operating("dev", clip_threshold=math.inf, frame_threshold=math.inf)
    found = replace(whole, operating=given, figures=tuple(summarise(whole.sample, given)))
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["operating"]["clip_threshold"] is told["operating"]["frame_threshold"] is None
    hter = next(figure for figure in told["figures"] if figure["key"] == "hter")
    assert (hter["value"], hter["note"]) == (0.5, "at inf, the EER threshold of dev")


# Every figure, for people


def cells(figure: Figure) -> list[str]:
    """The row of a figure, put together here by other means than there."""
    if figure.value is None:
        return [figure.name, "undefined", "", f"{figure.n} {figure.unit}"]
    value = format(figure.value, ".4f" if figure.value < 10 else ".1f")
    if figure.low is None:
        interval = ""
    else:
        form = "%.3f - %.3f" if figure.high < 10 else "%.1f - %.1f"
        interval = form % (figure.low, figure.high)
    return [figure.name, value, interval, f"{figure.n} {figure.unit}"]


def test_text_and_page_hold_every_figure(whole, page):
    """Catches a section that is not shown, and a value in the wrong row."""
    lines = [re.split("  +", line) for line in evaluation_text(whole).splitlines()]
    assert len(whole.figures) > 40
    for figure in whole.figures:
        assert cells(figure) in page.rows
        assert [cell for cell in cells(figure) if cell] in lines
    assert "warning: something to know" in evaluation_text(whole)


def test_the_page_begins_with_what_matters(whole, page):
    """Catches a reader who has to find seven figures among fifty, and a warning below the figures."""
    sections = list(dict.fromkeys(figure.section for figure in whole.figures))
    ends = ["When recordings get worse", "Parts of the set", "What was judged with what"]
    assert page.headings() == ["In short", *sections, *ends]
    first = page.rows[1 : 1 + len(KEYS)]
    assert first == [cells(figure) for key in KEYS for figure in whole.figures if figure.key == key]
    assert page.text.index("Something to know.") < page.text.index("In short")
    assert ("p", {"class": "alarm"}) in page.elements


def test_each_note_is_told_once_with_its_figures(whole, page):
    """Catches figures at a threshold whose threshold nobody tells, and the same words in five rows."""
    for note in {figure.note for figure in whole.figures} - {""}:
        about = "; ".join(figure.name for figure in whole.figures if figure.note == note)
        assert page.rows.count([about, note]) == 1
        assert page.text.count(note) == 1


def test_pictures_have_words(page):
    pictures = [facts for tag, facts in page.elements if tag == "img"]
    assert len(pictures) >= 6
    assert all(picture["alt"] for picture in pictures)
    assert "real: " in pictures[0]["alt"]
    assert " called real, " in pictures[0]["alt"]


def test_facts_stand_at_the_end(page):
    assert page.rows[-2:] == [["model", "tiny"], ["bundle SHA-256", "abc"]]


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [
        (0.96449, 0.9, 1.0, ("0.9645", "0.900 - 1.000")),
        (126.1096, 48.159, 210.66, ("126.1", "48.2 - 210.7")),
        (9.5, 0.0, 20.0, ("9.5000", "0.0 - 20.0")),
        (None, None, None, ("undefined", "")),
        (0.0, None, None, ("0.0000", "")),
    ],
)
def test_numbers_have_as_many_decimals_as_they_deserve(value, low, high, told):
    """Catches 126.1096 false alarms an hour from eight of them, and an undefined figure shown as 0."""
    (row,) = report.figure_table("", [Figure("k", "name", "s", value, low, high, n=3)]).rows
    assert row == ("name", *told, "3 clips")


# Nothing from outside, nothing that runs


def test_the_page_needs_nothing_else(page):
    """Catches a font, a script or a picture from elsewhere: a report must open on a plane, and tell nobody."""
    sources = [value for _, facts in page.elements for key, value in facts.items() if key in ("src", "href")]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    without = re.sub('base64,[^"]*', "", page.source)
    assert not re.search(r"https?:|url\(|@import|<script|javascript:", without)
    policy = next(f["content"] for _, f in page.elements if f.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


@pytest.mark.filterwarnings("error")
def test_strange_names_stay_text(tmp_path):
    """Catches markup, templates or mathematics in the names of a stranger's set that run, vanish or crash."""
    rows = [replace(row, clip=replace(row.clip, traits={EVIL: EVIL if i % 2 else "b"}, speaker=f"{EVIL}{i}"))
            for i, row in enumerate(clips(generator=EVIL))]  # fmt: skip
    found = evaluation(rows, replace(OPERATING, source=EVIL), name=EVIL, facts={EVIL: EVIL}, warnings=(EVIL,))
    seen = written(found, tmp_path)
    assert {tag for tag, _ in seen.elements} <= TAGS
    assert [EVIL, EVIL] in seen.rows
    assert f"By {EVIL}" in seen.text
    assert sum(row[0] == EVIL for row in seen.rows) >= 3  # fact, generator, trait
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["name"] == EVIL
    assert EVIL in evaluation_text(found)


# Warnings


def test_all_is_well_without_warnings():
    assert own_warnings(sample(clips(), n_resamples=5)) == []


@pytest.mark.parametrize(
    ("speakers", "warning"),
    [
        (1, "all clips are of one speaker: the intervals are by clip, and say nothing about other voices"),
        (0, "the speakers are unknown: the intervals are by clip, and too narrow if few people speak"),
        (3, "only 3 speakers: intervals from so few voices are rough, and rather too narrow"),
    ],
)
def test_intervals_that_promise_too_much_are_told(speakers, warning):
    """Catches an interval over clips of one voice that is taken for one over voices."""
    assert own_warnings(sample(clips(speakers=speakers), n_resamples=5)) == [warning]


def test_clips_that_do_not_count_are_told():
    """Catches figures over the clips that were easy, without a word on the others."""
    rows = clips()
    rows[0] = Judged(rows[0].clip, 0, reasons=("a.wav: damaged",), failed=True)
    for i, reasons in ((1, ("no_speech",)), (2, ("no_speech",)), (4, ("too_short", "no_speech"))):
        rows[i] = Judged(rows[i].clip, N_SAMPLES, reasons=reasons)
    rows[5] = replace(rows[5], clip=replace(rows[5].clip, segments=()))
    assert own_warnings(sample(rows, n_resamples=5)) == [
        "1 clip could not be judged: counted as not right, and left out where scores count",
        "3 abstentions (no_speech 3, too_short 1): counted as not right, and left out where scores count",
        "of 1 clip nobody says where they are fake: left out of all figures of places",
    ]


def test_the_first_words_say_what_was_judged(whole):
    """Catches intervals of which nobody knows over what, and thresholds from nowhere."""
    said = report.described(whole)
    assert said.startswith("mine, test: 36 clips (12 real, 12 fake, 12 hybrid), 0.01 h, 12 speakers. Positive class: ")
    assert "95 %, 20 resamples by speaker, seed 0. Thresholds from dev (9 clips)." in said
    alone = report.described(evaluation(clips(speakers=1), None))
    assert ", 1 speaker." in alone
    assert "resamples by clip" in alone
    assert "Thresholds" not in alone


# Parts


def test_parts_are_told_one_a_row(whole, page):
    """Catches parts under each other's names, and a rate over no clips that looks like a rate of 0."""
    (generators,) = [each for each in whole.breakdowns if each.name == "generator"]
    table = report.breakdown_table(generators)
    assert table.header == ("", "clips", "accuracy", "clip EER", "20 ms EER", "real called fake", "fake missed")
    for row, part in zip(table.rows, generators.parts, strict=True):
        own = {figure.key: figure for figure in part.figures}
        accuracy = own["accuracy"]
        assert row[:2] == (part.value, "12")
        assert row[2] == f"{accuracy.value:.3f} ({accuracy.low:.3f} - {accuracy.high:.3f})"
        assert row[5:] == ("-", f"{own['fnr'].value:.3f}")
        assert list(row) in page.rows
    assert "by generator; dotted: the whole set." in page.text


def test_parts_with_different_figures_share_a_table():
    """Catches a value under the head of another figure where a part lacks one."""
    accuracy, missed = Figure("accuracy", "", "", 0.5), Figure("fnr", "", "", 0.25)
    parts = (Part("a", 5, (accuracy,)), Part("b", 6, (missed, accuracy)), Part("c", 7, ()))
    table = report.breakdown_table(Breakdown("x", parts))
    assert table.header == ("", "clips", "accuracy", "fake missed")
    assert table.rows == (("a", "5", "0.500", ""), ("b", "6", "0.500", "0.250"), ("c", "7", "", ""))


# Corruptions


def moved(**values: float | None) -> Robustness:
    figures = tuple(Figure(key, key, "s", value) for key, value in values.items())
    return Robustness("noise", "noise as loud as speech", figures, Moves(8, 6, 1, 1, 0))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"accuracy": 0.5, "false_alarms_per_hour": 100.0}, ("0.500 (-0.250)", "100.0 (+92.0)")),
        ({"accuracy": 0.75, "false_alarms_per_hour": 8.0}, ("0.750 (same)", "8.000 (same)")),
        ({"accuracy": 0.7496, "false_alarms_per_hour": 7.0}, ("0.750 (same)", "7.000 (-1.000)")),
        ({"accuracy": None}, ("undefined", "undefined")),
    ],
)
def test_figures_under_corruption_stand_beside_those_before(whole, now, told):
    """Catches a change with the wrong sign, "-0.000", and a figure that is gone shown as unchanged."""
    before = (Figure("false_alarms_per_hour", "", "s", 8.0), Figure("accuracy", "", "s", 0.75))
    table, _ = report.stress_tables(replace(whole, figures=before, stress=(moved(**now),)))
    assert table.header == ("", "accuracy", "false alarms/h")
    assert table.rows == (("as it is", "0.750", "8.000"), ("noise", *told))


def test_verdicts_under_corruption_are_counted(whole, page):
    """Catches counts in each other's columns."""
    _, table = report.stress_tables(replace(whole, stress=(moved(),)))
    assert table.header[2:] == ("clips", "same verdict", "newly accused", "newly missed", "newly silent")
    assert table.rows == (("noise", "noise as loud as speech", "8", "75.0 %", "1", "1", "0"),)
    (own,) = [row for row in page.rows if "noise as loud as speech" in row]
    moves = whole.stress[0].moves
    assert own[2:] == ["36", f"{100 * moves.same / 36:.1f} %", *map(str, (moves.accused, moves.missed, moves.silenced))]
    assert report.VERDICTS_MOVED in page.text


# Less than everything


def less(rows: Sequence[Judged], *names: str) -> list[Judged]:
    return [replace(row, **dict.fromkeys(names)) for row in rows]


LESS = {
    "scores only": less(clips(), "label", "probabilities", "frame_scores", "spans"),
    "verdicts only": less(clips(), "score", "probabilities", "frame_scores", "spans"),
    "frames only": less(clips(), "label", "probabilities", "score", "spans"),
    "spans only": less(clips(), "label", "probabilities", "score", "frame_scores"),
    "one class": [row for row in clips() if row.clip.label == REAL],
    "no real": [row for row in clips() if row.clip.label != REAL],
    "one clip": clips()[:1],
    "abstentions": [Judged(row.clip, N_SAMPLES, reasons=("no_speech",)) for row in clips()],
    "failed": [Judged(row.clip, N_SAMPLES, reasons=("gone",), failed=True) for row in clips()],
    "no lengths": [
        Judged(replace(row.clip, n_samples=0, segments=()), 0, score=row.score, label=row.label) for row in clips()
    ],
    "nothing": [],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("operating", [None, Operating("")], ids=["no threshold", "no source"])
@pytest.mark.parametrize("name", LESS)
def test_every_system_gets_a_report(name, operating, tmp_path):
    """Catches a crash after hours of judging, because a system or a set has less than ours."""
    given = sample(LESS[name], n_resamples=5)
    figures = tuple(summarise(given, operating))
    parts = tuple(break_down(given, operating))
    found = Evaluation(name, FACTS, given, figures, operating, parts, warnings=tuple(own_warnings(given)))
    seen = written(found, tmp_path)
    assert all(cells(figure) in seen.rows for figure in figures)
    assert "Thresholds from" not in seen.text
    json.dumps(found.to_json(), allow_nan=False)
    assert evaluation_text(found).startswith(f"{name}: {len(LESS[name])} clip")


@pytest.mark.parametrize(
    ("name", "captions"),
    [
        ("verdicts only", ["What is called what."]),
        ("scores only", ["ROC (left) and DET curves (right).", "How the scores of the classes are spread."]),
        ("frames only", ["Cells of 20 ms."]),
        ("spans only", ["How much of each fake span of a hybrid was found, by its length."]),
        ("failed", []),
    ],
)
def test_no_picture_shows_nothing(name, captions, tmp_path):
    """Catches an empty frame where the system says nothing of the kind."""
    given = sample(LESS[name], n_resamples=5)
    seen = written(Evaluation(name, FACTS, given, tuple(summarise(given))), tmp_path)
    assert re.findall("<figcaption>(.*)</figcaption>", seen.source) == captions


def test_no_matplotlib_is_one_line_and_no_page(whole, tmp_path, monkeypatch):
    """Catches a traceback, or half a page, where one package is missing."""
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ToolkitError, match="pip install matplotlib"):
        write_report(tmp_path / "report.html", whole)
    assert list(tmp_path.iterdir()) == []
