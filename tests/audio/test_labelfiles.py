"""Label files: what is written reads back, other programs' parsers agree, and broken files get one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid

from audio.errors import ManifestError, UsageError
from audio.labelfiles import CSV_COLUMNS, FORMATS, TIER, Labelled, compose, read_labels, seconds, write_labels
from audio.segments import SAMPLE_RATE, Segment

MANY = [name for name, kind in FORMATS.items() if kind.many]
ONE = [name for name in FORMATS if name not in MANY]
SPANS = (Segment(54_720, 65_600, confidence=0.88), Segment(126_080, 132_961))
CLIP = Labelled('calls/a b, é\t"c".wav', SPANS, 160_001, "hybrid")


@st.composite
def labelled(draw: st.DrawFn) -> Labelled:
    """A recording of up to three hours with up to five spans that may touch."""
    bounds = sorted(draw(st.sets(st.integers(0, 3 * 3_600 * SAMPLE_RATE), max_size=10)))
    pairs = zip(bounds[::2], bounds[1::2], strict=False)
    sure = st.none() | st.integers(0, 10_000).map(lambda n: n / 10_000)
    spans = tuple(Segment(onset, offset, "fake", draw(sure)) for onset, offset in pairs)
    name = draw(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
    last = spans[-1].offset if spans else 1
    length, label = last + draw(st.integers(0, 99)), "hybrid" if spans else "real"
    return Labelled(name.strip() or "x", spans, length, label, draw(st.none() | st.integers(0, 7)))


@given(st.lists(labelled(), max_size=4, unique_by=lambda each: each.path))
def test_formats_of_many_recordings_lose_nothing(given: list[Labelled]) -> None:
    """Catches names with blanks, quotes and commas that fall apart, times that are rounded, and lost empty clips."""
    for name in ("csv", "json"):
        assert FORMATS[name].parse(compose(given, format=name)) == given
    spoken = [(each.path, each.spans) for each in given if each.spans]
    assert [(each.path, each.spans) for each in FORMATS["rttm"].parse(compose(given, format="rttm"))] == spoken


@given(labelled())
def test_formats_of_one_recording_lose_nothing_but_milliseconds(given: Labelled) -> None:
    """Catches a sample that is lost on the way to seconds; subtitles have no more than milliseconds."""
    assert FORMATS["audacity"].parse(compose([given], format="audacity"))[0].spans == given.spans
    (read,) = FORMATS["textgrid"].parse(compose([given], format="textgrid"))
    assert (read.spans, read.n_samples) == (given.spans, given.n_samples)
    long_enough = [span for span in given.spans if span.duration >= 32]
    kept = Labelled("", tuple(long_enough))
    (read,) = FORMATS["srt"].parse(compose([kept], format="srt"))
    assert len(read.spans) == len(long_enough)
    for before, after in zip(long_enough, read.spans, strict=True):
        assert max(abs(before.onset - after.onset), abs(before.offset - after.offset)) <= 8
        assert before.confidence == after.confidence


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_written_and_read_by_its_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "deeper" / f"x{FORMATS[name].suffix}"
    write_labels(path, [CLIP], format=name)
    (read,) = read_labels(path)
    assert [span.label for span in read.spans] == ["fake", "fake"]
    assert read.spans[0].confidence == pytest.approx(0.88)
    assert read.path == (CLIP.path if name in MANY else "")
    assert list(path.parent.iterdir()) == [path]


def test_what_a_file_looks_like() -> None:
    """Golden texts: a format is a promise."""
    shown = Labelled("a b.wav", SPANS, 160_000, "hybrid")
    assert compose([shown, Labelled("c.wav", (), 16_000, "real", 1)], format="csv").splitlines() == [
        ",".join(CSV_COLUMNS),
        "a b.wav,,hybrid,10,3.42,4.1,fake,0.88",
        "a b.wav,,hybrid,10,7.88,8.3100625,fake,",
        "c.wav,1,real,1,,,,",
    ]
    assert compose([shown], format="rttm").splitlines()[1:] == [
        "SPEAKER a%20b.wav 1 3.42 0.68 <NA> <NA> fake 0.8800 <NA>",
        "SPEAKER a%20b.wav 1 7.88 0.4300625 <NA> <NA> fake <NA> <NA>",
    ]
    assert compose([shown], format="audacity") == "3.42\t4.1\tfake 0.8800\n7.88\t8.3100625\tfake\n"
    assert compose([shown], format="srt").split("\n\n")[0] == "1\n00:00:03,420 --> 00:00:04,100\nfake 0.8800"


@pytest.mark.parametrize("name", MANY)
def test_nothing_to_say_still_has_a_header(name: str) -> None:
    """Catches an empty CSV, which no spreadsheet can tell from a lost one."""
    text = compose([], format=name)
    assert (text == "") is (name == "json")
    assert FORMATS[name].parse(text) == []


def test_seconds_are_exact_to_the_sample() -> None:
    for n_samples in (0, 1, 3, 16_000, 575_999_999):
        assert round(float(seconds(n_samples)) * SAMPLE_RATE) == n_samples
    assert seconds(1) == "0.0000625"


def test_praat_reads_what_we_write_and_we_what_praat_writes(tmp_path: Path) -> None:
    """The parser of praatio, long and short files, with another tier, and Praat's UTF-16."""
    write_labels(tmp_path / "ours.TextGrid", [CLIP], format="textgrid")
    grid = textgrid.openTextgrid(str(tmp_path / "ours.TextGrid"), includeEmptyIntervals=False, reportingMode="error")
    entries = grid.getTier(TIER).entries
    assert [(e.start, e.end, e.label) for e in entries] == [(3.42, 4.1, "fake 0.8800"), (7.88, 8.3100625, "fake")]
    assert grid.maxTimestamp == CLIP.n_samples / SAMPLE_RATE
    grid.addTier(textgrid.IntervalTier("words", [(0.0, 1.0, 'say "so" 5')], 0, grid.maxTimestamp), tierIndex=0)
    grid.addTier(textgrid.PointTier("clicks", [(0.5, "1")], 0, grid.maxTimestamp))
    for style in ("long_textgrid", "short_textgrid"):
        theirs = tmp_path / f"{style}.TextGrid"
        grid.save(str(theirs), format=style, includeBlankSpaces=True)
        (read,) = read_labels(theirs)
        assert [(s.onset, s.offset) for s in read.spans] == [(s.onset, s.offset) for s in SPANS]
        theirs.write_text(theirs.read_text(encoding="utf-8"), encoding="utf-16")
        assert read_labels(theirs) == [read]


def test_what_people_change_by_hand_is_understood(tmp_path: Path) -> None:
    """Audacity's second line of a spectral selection, capitals, real spans, and labels without a text."""
    path = tmp_path / "x.txt"
    path.write_text("1.0\t2.0\tFAKE\n\\\t100\t200\n3\t4\treal 0.5\n5\t6\t\n", encoding="utf-8")
    (read,) = read_labels(path)
    assert read.spans == (Segment(16_000, 32_000), Segment(48_000, 64_000, "real", 0.5))
    rows = '[{"path": "a.wav", "segments": [{"start_s": 1, "end_s": 2}]}, {"path": "b.wav", "error": "gone"}]'
    (tmp_path / "x.json").write_text(rows, encoding="utf-8")
    assert read_labels(tmp_path / "x.json") == [Labelled("a.wav", (Segment(16_000, 32_000),))]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.csv", "path,start_s\na,1\n", "missing: end_s"),
        ("x.csv", "path,start_s,end_s\na,1,one\n", "line 2: expected seconds, received 'one'"),
        ("x.csv", "path,start_s,end_s\na,2,1\n", "line 2: segment bounds"),
        ("x.csv", "path,label,start_s,end_s\na,spoof,,\n", "expected a label of real, fake, hybrid"),
        ("x.csv", "path,channel,start_s,end_s\na,left,,\n", "expected a channel, 0 or more, received 'left'"),
        ("x.csv", "path,start_s,end_s,confidence\na,1,2,7\n", "segment confidence"),
        ("x.jsonl", "{\n", "line 1: expected JSON"),
        ("x.jsonl", "[1]\n", "entry 1: expected an object with path and segments"),
        ("x.rttm", "SPEAKER a 1 0.5\n", "line 1: expected ten fields, received 4"),
        ("x.rttm", "SPEAKER a 1 0.5 1 <NA> <NA> bob <NA> <NA>\n", "expected real or fake, received 'bob'"),
        ("x.txt", "1.0 2.0 fake\n", "line 1: expected a start, an end and a label between tabs"),
        ("x.txt", "1\t2\tfkae\n", "line 1: expected fake or real, perhaps with a confidence, received 'fkae'"),
        ("x.txt", "1\tinf\tfake\n", "expected seconds"),
        ("x.srt", "1\nhello\n", "subtitle 1: expected times like"),
        ("x.TextGrid", 'File type = "ooTextFile"\nObject class = "TextGrid"\n0\n', "ends early"),
        ("x.TextGrid", "hello", "ends early"),
        ("x.TextGrid", '"ooTextFile" "Sound" 1 2', "expected a text file of Praat"),
        ("x.TextGrid", '"ooTextFile" "TextGrid" 0 1 <exists> 1 "TextTier" "p" 0 1 0', "expected a tier of intervals"),
    ],
)
def test_broken_files_get_one_line(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        read_labels(tmp_path / name)
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none_and_formats_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"\xff\x00\x01")
    with pytest.raises(ManifestError, match="UTF-8 or UTF-16"):
        read_labels(tmp_path / "x.txt")
    with pytest.raises(ManifestError, match="cannot be read: No such file"):
        read_labels(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="expected a label file"):
        read_labels(tmp_path / "x.docx")
    with pytest.raises(UsageError, match="expected one of csv, json"):
        compose([], format="elan")
    for name in ONE:
        with pytest.raises(UsageError, match="expected one recording a file, received 2"):
            compose([CLIP, CLIP], format=name)
    with pytest.raises(ManifestError, match="do not overlap"):
        compose([Labelled("a", (Segment(0, 10), Segment(5, 20)))], format="textgrid")
