"""Anybody's score files: what is read, what is refused, and that ours come back the same."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from score_texts import detection, file_with, frame_lines

from audio.errors import ToolkitError, UsageError
from audio.manifest import Clip
from audio.segments import Segment
from model.evaluation.joining import join
from model.evaluation.judged import Judged
from model.evaluation.scorefiles import (
    LINES_PER_CHUNK,
    ClipScores,
    read_asv_scores,
    read_scores,
    write_frame_scores,
    write_scores,
)
from model.judging.detector import SCHEMA_VERSION

GOLDEN = Path(__file__).parents[2] / "golden"

OURS = "path,score,label,real,fake,hybrid\n"


def refusal(folder, text, **options):
    """The one line that a file is refused with, without the folder."""
    with pytest.raises(ToolkitError) as caught:
        read_scores(file_with(folder, text), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "expected" in message
    assert "received" in message
    return message.removeprefix(f"{folder}/")


# Reading: one line a clip


@pytest.mark.parametrize(
    ("text", "kind", "higher_is"),
    [
        ("a 1.5\nb -2e-3\n", "id and score", None),
        ("a\t1.5\r\nb\t-2e-3\r\n", "id and score", None),
        ("a,1.5\nb, -2e-3", "id and score", None),
        ("\n  \na 1.5\n\nb   -2e-3  \n\n", "id and score", None),
        ("file,score\na,1.5\nb,-2e-3\n", "id and score", None),
        ("Name Score\na 1.5\nb -2e-3\n", "id and score", None),
        ("filename\tcm-score\na\t1.5\nb\t-2e-3\n", "ASVspoof 5 (filename, cm-score)", "real"),
        ("a A07 spoof 1.5\nb - bonafide -2e-3\n", "ASVspoof (id, attack, key, score)", "real"),
        ("a - spoof 1.5\nb - bona-fide -2e-3\n", "ASVspoof (id, attack, key, score)", "real"),
        ("a spoof 1.5\nb bonafide -2e-3\n", "ASVspoof (id, attack, key, score)", "real"),
        ("\ufeffa 1.5\nb -2e-3\n", "id and score", None),
    ],
)
def test_the_first_line_tells_the_format(tmp_path, text, kind, higher_is):
    """Catches a delimiter, a header, a byte order mark or Windows line ends that end up in ids; and a lost polarity."""
    scores = read_scores(file_with(tmp_path, text))
    assert (scores.kind, scores.higher_is) == (kind, higher_is)
    assert {name: clip.score for name, clip in scores.clips.items()} == {"a": 1.5, "b": -2e-3}
    assert {clip.label for clip in scores.clips.values()} == {None}
    keys = [clip.key for clip in scores.clips.values()]
    assert keys == (["fake", "real"] if kind.startswith("ASVspoof (") else [None, None])


def test_gzip_is_known_by_its_content(tmp_path):
    """Catches a reader that trusts the name of the file."""
    path = tmp_path / "scores.txt"
    path.write_bytes(gzip.compress(b"a 1\nb 2\n"))
    assert [clip.score for clip in read_scores(path).clips.values()] == [1.0, 2.0]


def test_names_with_spaces_in_tables(tmp_path):
    """Catches splitting at white space before the delimiter has been looked for."""
    for text in ("my file.wav\t0.5\nb\t1\n", "my file.wav,0.5\nb,1\n", 'path,score\n"my file.wav",0.5\nb,1\n'):
        assert list(read_scores(file_with(tmp_path, text)).clips) == ["my file.wav", "b"]
    assert list(read_scores(file_with(tmp_path, "a,b.wav 0.5\n")).clips) == ["a,b.wav"]


def test_a_three_class_table(tmp_path):
    """Catches probabilities in the order of the file, not that of `LABELS`, and another score than 1 - P(real)."""
    scores = read_scores(file_with(tmp_path, "file,hybrid,real,fake,epoch\na,0.7,0.2,0.1,3\nb,0.25,0.25,0.5,3\n"))
    assert scores.higher_is == "fake"
    assert scores.clips["a"] == ClipScores(0.8, (0.2, 0.1, 0.7), "hybrid")
    assert scores.clips["b"] == ClipScores(0.75, (0.25, 0.5, 0.25), "fake")
    assert scores.notes == ("columns passed over: epoch",)


def test_our_own_table_may_have_empty_cells(tmp_path):
    """Catches an abstention that is read as a score of 0, and a score that is made up anew from probabilities."""
    scores = read_scores(file_with(tmp_path, OURS + "a,0.4,real,0.5,0.25,0.25\nb,,,,,\nc,0.1,,,,\n"))
    assert (scores.kind, scores.higher_is) == ("scores.csv of this toolkit", "fake")
    assert dict(scores.clips) == {
        "a": ClipScores(0.4, (0.5, 0.25, 0.25), "real"),
        "b": ClipScores(),
        "c": ClipScores(0.1),
    }


def test_lines_are_counted_across_chunks(tmp_path):
    """Catches ids that repeat in another chunk, and line numbers that begin anew or skip blank lines."""
    n = 2 * LINES_PER_CHUNK + 7
    lines = [f"clip{i} {i}" for i in range(n)]
    scores = read_scores(file_with(tmp_path, "\n".join(lines)))
    assert [clip.score for clip in scores.clips.values()] == list(range(n))
    assert len(scores.clips) == n
    lines[3] = ""
    lines[-1] = "clip5 1"
    assert refusal(tmp_path, "\n".join(lines)).startswith(f"scores.txt:{n}: expected each id once, received 'clip5'")
    lines[-1] = "x one"
    assert refusal(tmp_path, "\n".join(lines)).startswith(f"scores.txt:{n}: expected a number, received 'one'")


@pytest.mark.parametrize(
    ("text", "where", "received"),
    [
        ("", "scores.txt", "an empty file"),
        ("file,score\n", "scores.txt", "nothing but a header"),
        ("a b c d e\n", "scores.txt:1", "'a b c d e'"),
        ("a\n", "scores.txt:1", "'a'"),
        ("0.5 a\n", "scores.txt:1", "'0.5 a'"),
        ("bonafide target 7.98\n", "scores.txt:1", "'bonafide target 7.98'"),
        ("[1, 2]\n", "scores.txt:1", "'[1, 2]'"),
        (f"{'x' * 200_000},1\n", "scores.txt:1", f"'{'x' * 80}'"),
        ("\na 1\nb\n", "scores.txt:3", "'b'"),
        ("a 1\nb 2 3\n", "scores.txt:2", "'b 2 3'"),
        ("a 1\nb - spoof 2\n", "scores.txt:2", "'b - spoof 2'"),
        ("a 1\n\nb 0.5x\n", "scores.txt:3", "'0.5x'"),
        ("a 1\nb nan\n", "scores.txt:2", "'nan'"),
        ("a inf\n", "scores.txt:1", "'inf'"),
        ("a 1\nb 2\na 1\n", "scores.txt:3", "'a'"),
        ("a - spoof 1\nb - spam 2\n", "scores.txt:2", "'spam'"),
        ("file,score\na,\n", "scores.txt:2", "''"),
        (OURS + "a,1,unsure,,,\n", "scores.txt:2", "'unsure'"),
        (OURS + "a,1,real,0.5,,\n", "scores.txt:2", "(0.5, None, None)"),
        ("file,real,fake,hybrid\na,3,-1,-1\n", "scores.txt:2", "(3.0, -1.0, -1.0)"),
        ("file,real,fake,hybrid\na,0.9,0.9,0.9\n", "scores.txt:2", "(0.9, 0.9, 0.9)"),
        ("file,real,fake,hybrid\na,0.9,,0.1\n", "scores.txt:2", "''"),
        ("file,name,score\na,a,1\n", "scores.txt:1", "'file,name,score'"),
    ],
)
def test_a_broken_file_is_one_line_that_names_the_place(tmp_path, text, where, received):
    """Catches NaN that reaches a metric, a silent repair, and a message without the line."""
    message = refusal(tmp_path, text)
    assert message.startswith(f"{where}: expected ")
    assert message.endswith(f"received {received}") or repr(received) in message


def test_files_that_are_no_text(tmp_path):
    """Catches a traceback for a missing file, a folder, bytes, and a cut or broken archive."""
    whole = gzip.compress(b"".join(b"clip%d 0.5\n" % i for i in range(1000)))
    for name, content in {"cut": whole[:-20], "broken": whole[:50] + b"x" * 50, "bytes": b"\xff\xfe\x00a\x80"}.items():
        (tmp_path / name).write_bytes(content)
    for name in ("cut", "broken", "bytes", "missing", "."):
        with pytest.raises(ToolkitError, match=r"cannot be read|expected text in UTF-8"):
            read_scores(tmp_path / name)
    with pytest.raises(ToolkitError, match="cannot be read"):
        read_scores(file_with(tmp_path, 'file,score\n"a,1\n'))


WORDS = "a b.wav 1 -2.5 0 0.02 0.04 nan 1e999 1e99 spoof bonafide target score path real fake hybrid label start end"
cells = st.sampled_from([*WORDS.split(), "", '"', "{}", "\x00", "é"])
lines = st.lists(cells, max_size=6).flatmap(lambda row: st.sampled_from(" ,\t").map(lambda by: by.join(row)))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(lines, max_size=5))
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(tmp_path, rows):
    """Catches a traceback, and a number that is not finite, for files that nobody thought of."""
    path = file_with(tmp_path, "\n".join(rows))
    try:
        scores = read_scores(path)
    except ToolkitError as error:
        message = str(error)
    else:
        message = f"{path}:"
        check_finite(scores)
    assert message.startswith(f"{path}:")
    assert "\n" not in message


def check_finite(scores):
    assert scores.clips
    for clip in scores.clips.values():
        assert np.isfinite([x for x in (clip.score, *(clip.probabilities or ())) if x is not None]).all()
        assert clip.frames is None or np.isfinite(clip.frames).all()


def test_reading_equals_a_plain_loop(tmp_path):
    """The file of plain scores, read line by line: catches columns that get out of step."""
    rng = np.random.default_rng(1)
    text = "".join(f"c{i}{' ' * int(rng.integers(1, 4))}{value!r}\n" for i, value in enumerate(rng.normal(size=3000)))
    text = text.replace("np.float64(", "").replace(")", "")
    expected = {line.split()[0]: float(line.split()[1]) for line in text.splitlines()}
    assert {k: clip.score for k, clip in read_scores(file_with(tmp_path, text)).clips.items()} == expected


# Reading: one line a frame


def test_frames_are_read_with_their_hop(tmp_path):
    """Catches a hop in milliseconds, frames of clips that get mixed, and a last frame taken for a whole one."""
    text = frame_lines("a", [0.1, 0.2, 0.3]) + "b 0 0.02 9\n" + "a 0.06 0.075 0.4\n" + "b 0.02 0.05 8\n"
    scores = read_scores(file_with(tmp_path, text))
    assert scores.higher_is is None
    np.testing.assert_array_equal(scores.clips["a"].frames, np.float32([0.1, 0.2, 0.3, 0.4]))
    np.testing.assert_array_equal(scores.clips["b"].frames, np.float32([9, 8]))
    assert {clip.hop_samples for clip in scores.clips.values()} == {320}
    assert {name: clip.n_samples for name, clip in scores.clips.items()} == {"a": 1200, "b": 800}
    assert scores.notes == ("frames of 20 ms",)


@pytest.mark.parametrize(("hop_s", "hop_samples"), [(0.01, 160), (0.02, 320), (0.025, 400), (0.04, 640), (0.64, 10240)])
def test_times_rounded_to_two_digits_do_no_harm(tmp_path, hop_s, hop_samples):
    """Catches a hop that comes from the first frame only: 25 ms are printed as 0.03 and 0.02 in turn."""
    scores = read_scores(file_with(tmp_path, frame_lines("a", range(400), hop_s=hop_s)))
    assert scores.clips["a"].hop_samples == hop_samples


def test_a_header_above_frames(tmp_path):
    """Catches frames with a header that are read as scores of clips with the same id again and again."""
    scores = read_scores(file_with(tmp_path, "path,start_s,end_s,score\na b,0,0.02,1\na b,0.02,0.04,2\n"))
    assert scores.clips["a b"].frames.tolist() == [1.0, 2.0]


def test_frames_across_chunks(tmp_path):
    """Catches a clip that is cut in two where a chunk ends."""
    n = LINES_PER_CHUNK // 2 + 100
    values = np.random.default_rng(0).random((3, n)).astype(np.float32)
    text = "".join(frame_lines(f"c{i}", row.tolist()) for i, row in enumerate(values))
    scores = read_scores(file_with(tmp_path, text))
    np.testing.assert_array_equal([clip.frames for clip in scores.clips.values()], values)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a 0 .02 1\na .04 .06 1\n", 2, "0.04 s: a gap"),
        ("a 0 .02 1\na .02 .04 1\nb 0 .02 1\na .03 .05 1\n", 4, "0.03 s: an overlap"),
        ("a 0 .02 1\na 0 .02 1\n", 2, "0 s: an overlap"),
        ("a 0 .02 1\na .02 .04 1\nb 0 .04 1\nb .04 .08 1\n", 4, "of 0.02 s throughout"),
        ("a 0 .02 1\na .02 .04 1\nb 0 .04 1\n", 3, "of 0.02 s throughout"),
        ("a .5 .52 1\na .52 .54 1\n", 1, "received 0.5 to 0.52 s"),
        (frame_lines("a", range(2000), hop_s=256 / 22050, digits=6), 678, "whole number of samples"),
        ("a 0 .02 1\na .02 .01 1\n", 2, "0 <= start < end"),
        ("a -0.02 0 1\n", 1, "0 <= start < end"),
        ("a 0 1e9 1\n", 1, "0 <= start < end"),
        ("a 0 .02 nan\n", 1, "a finite number"),
        ("a 0 nan 1\n", 1, "a finite number"),
        ("a 0 .02 1e39\n", 1, "a score that float32 can hold"),
        ("a 0 .02 1\na 1\n", 2, "4 columns"),
        ("a 0 1e-9 1\n", 1, "frames in order of time"),
    ],
)
def test_frames_that_do_not_fit_together(tmp_path, text, line, words):
    """Catches a missing frame, after which every later score would stand for another moment."""
    message = refusal(tmp_path, text)
    if line != 678:  # where drifting frames first leave their tolerance is the reader's business
        assert message.startswith(f"scores.txt:{line}: ")
    assert words in message


# Reading: results and archives


def test_results_of_detect(tmp_path):
    """Catches spans that change between `Detection.to_row` and here, and rows of errors that vanish."""
    rows = [
        detection().to_row("a.wav"),
        detection(None).to_row("b.wav"),
        {"schema_version": SCHEMA_VERSION, "path": "c.wav", "error": "no such file"},
    ]
    scores = read_scores(file_with(tmp_path, "\n".join(map(json.dumps, rows))))
    assert scores.higher_is == "fake"
    spans = (Segment(8000, 16320, confidence=0.75),)
    assert scores.clips["a.wav"] == ClipScores(0.75, (0.25, 0.125, 0.625), "hybrid", spans=spans, n_samples=40_000)
    assert scores.clips["b.wav"] == ClipScores(n_samples=40_000, reasons=("no_speech",))
    assert scores.clips["c.wav"] == ClipScores(reasons=("no such file",), failed=True)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_frozen_rows_still_read(version):
    """Catches a new version of the row that makes old result files unreadable."""
    (clip,) = read_scores(GOLDEN / f"detection_v{version}.json").clips.values()
    assert (clip.label, clip.probabilities) == ("hybrid", (0.25, 0.125, 0.625))


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 99},
        {"path": 3},
        {"label": "spoof"},
        {"probabilities": {"real": 1.0}},
        {"probabilities": {"real": 2.0, "fake": 0.0, "hybrid": 0.0}},
        {"probabilities": {"real": float("nan"), "fake": 0.0, "hybrid": 0.0}},
        {"probabilities": None},
        {"segments": 5},
        {"segments": [{"start_s": 2, "end_s": 1, "label": "fake", "confidence": None}]},
        {"segments": [{"start_s": 0, "end_s": float("inf"), "label": "fake", "confidence": None}]},
        {"segments": [{"start_s": 0, "end_s": 1, "label": "fake", "confidence": 7}]},
        {"segments": [{"start_s": 0}]},
        {"duration_s": -1},
        {"duration_s": 10**400},
        {"reasons": None},
    ],
)
def test_a_broken_row_names_its_line(tmp_path, change):
    """Catches a traceback from deep inside for a row that somebody edited."""
    good = detection().to_row("a.wav")
    message = refusal(tmp_path, f"{json.dumps(good)}\n\n{json.dumps({**good, 'path': 'b.wav', **change})}\n")
    assert message.startswith("scores.txt:3: expected a row of script.py detect --json")


def test_rows_that_are_no_objects_or_occur_twice(tmp_path):
    """Catches a path that is judged twice, of which the last would silently win."""
    good = json.dumps(detection().to_row("a.wav"))
    assert "each path once" in refusal(tmp_path, f"{good}\n{good}\n")
    for other in ("a 0.5", "[]", "{", '{"a":' * 100_000):
        assert refusal(tmp_path, f"{good}\n{other}\n").startswith("scores.txt:2: expected a row")


def test_archives(tmp_path):
    """Catches archives whose frames get a hop out of thin air, and scores that lose their ids."""
    np.savez(tmp_path / "clips.npz", id=np.array(["a", "b"]), score=np.array([0.5, -1.0]))
    assert {name: clip.score for name, clip in read_scores(tmp_path / "clips.npz").clips.items()} == {"a": 0.5, "b": -1}
    np.savez(tmp_path / "frames.npz", **{"x/a": np.arange(3.0), "b": np.zeros(2, np.float32)})
    scores = read_scores(tmp_path / "frames.npz", hop_samples=160)
    assert scores.clips["x/a"].frames.tolist() == [0, 1, 2]
    assert (scores.clips["b"].hop_samples, scores.notes) == (160, ("frames of 10 ms",))
    for wrong in (None, 0):
        with pytest.raises(UsageError, match="expected hop_samples"):
            read_scores(tmp_path / "frames.npz", hop_samples=wrong)
    with pytest.raises(UsageError, match="expected no hop_samples"):
        read_scores(tmp_path / "clips.npz", hop_samples=160)
    with pytest.raises(UsageError, match="expected no hop_samples"):
        read_scores(file_with(tmp_path, "a 1\n"), hop_samples=160)


def test_archives_that_are_refused(tmp_path):
    """Catches pickle, which can run anybody's code; and arrays that are no scores."""
    np.save(tmp_path / "names.npy", {"a": np.zeros(3)})
    with pytest.raises(ToolkitError, match="pickle"):
        read_scores(tmp_path / "names.npy")
    np.savez(tmp_path / "object.npz", a=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("a 1\n")
    (tmp_path / "zeros.npz").write_bytes(b"")
    np.savez(tmp_path / "none.npz")
    np.savez(tmp_path / "square.npz", a=np.zeros((2, 2)))
    np.savez(tmp_path / "nan.npz", a=np.array([np.nan]))
    np.savez(tmp_path / "huge.npz", a=np.array([1e39]))
    np.savez(tmp_path / "words.npz", a=np.array(["x"]))
    np.savez(tmp_path / "twice.npz", id=np.array(["a", "a"]), score=np.zeros(2))
    np.savez(tmp_path / "short.npz", id=np.array(["a"]), score=np.zeros(2))
    for name in ("object", "text", "zeros", "none", "square", "nan", "huge", "words", "missing"):
        with pytest.raises(ToolkitError, match=r"received|cannot be read"):
            read_scores(tmp_path / f"{name}.npz", hop_samples=320)
    for name in ("twice", "short"):
        with pytest.raises(ToolkitError, match="received"):
            read_scores(tmp_path / f"{name}.npz")


# Scores of speaker verification


def test_asv_scores(tmp_path):
    """Catches target and nontarget trials that are mixed up: the first column says bonafide for both."""
    text = "bonafide target 7.5\nA07 spoof 1.25\nbonafide nontarget -3\nA08 spoof 2\n"
    for path in (tmp_path / "asv.txt", tmp_path / "asv.txt.gz"):
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
        assert [array.tolist() for array in read_asv_scores(path)] == [[7.5], [-3], [1.25, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bonafide target 7.5\nA07 spoof 1\n", "received none of nontarget"),
        ("", "received none of target"),
        ("bonafide target 7.5\nbonafide tarjet 1\n", ":2: expected one of target, nontarget, spoof, received 'tarjet'"),
        ("bonafide target nan\n", ":1: expected a finite number"),
        ("bonafide target\n", ":1: expected 3 columns"),
    ],
)
def test_broken_asv_scores(tmp_path, text, message):
    """Catches a min t-DCF from half a file."""
    with pytest.raises(ToolkitError, match=message):
        read_asv_scores(file_with(tmp_path, text))


# Writing

names = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="\\/:\ufeff"), min_size=1, max_size=12
).filter(lambda name: name not in ("..", "."))
finite = st.floats(allow_nan=False, allow_infinity=False)
frame_arrays = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=5)
REPEATED = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def probabilities(draw_from):
    a, b = sorted(draw_from)
    return (a, b - a, 1.0 - b)


@REPEATED
@given(st.dictionaries(names, st.tuples(st.none() | finite, st.tuples(st.floats(0, 1), st.floats(0, 1))), min_size=1))
def test_our_scores_come_back_the_same(tmp_path, told):
    """Catches digits that are lost on the way, and names with commas, quotes, equals signs or percents."""
    rows = [
        Judged(Clip(f"d/{name}", "fake"), 0, score=score, label="hybrid", probabilities=probabilities(edges))
        if score is not None
        else Judged(Clip(f"d/{name}", "fake"), 0)
        for name, (score, edges) in told.items()
    ]
    write_scores(tmp_path / "scores.csv", rows)
    back = join(read_scores(tmp_path / "scores.csv"), {row.clip.path: row.clip for row in rows})[0]
    for row, again in zip(rows, back, strict=True):
        assert (again.score, again.label, again.probabilities) == (row.score, row.label, row.probabilities)


@REPEATED
@given(
    st.dictionaries(names, frame_arrays, min_size=1),
    st.sampled_from([160, 320, 333, 640]),
    st.floats(0, 0.99),
    st.sampled_from(["frames.txt", "frames.txt.gz"]),
)
def test_our_frames_come_back_the_same(tmp_path, told, hop, rest, file_name):
    """Catches a last frame that is too short or too long, a hop that is not exact, and lost digits."""
    rows = [
        Judged(
            Clip(f"d/{name}", "fake"),
            math.ceil((len(frames) - 0.5 + rest) * hop),
            score=0.0,
            frame_scores=np.array(frames, dtype=np.float32),
            hop_samples=hop,
        )
        for name, frames in told.items()
    ]
    longest = max(rows, key=lambda row: len(row.frame_scores))
    if len(longest.frame_scores) == 1:  # one frame tells no hop apart from its length
        rows = [Judged(row.clip, hop, frame_scores=row.frame_scores, hop_samples=hop) for row in rows]
    write_frame_scores(tmp_path / file_name, rows)
    back = read_scores(tmp_path / file_name)
    assert list(back.clips) == [row.clip.path for row in rows]
    for row in rows:
        again = back.clips[row.clip.path]
        assert (again.hop_samples, again.n_samples) == (hop, row.n_samples)
        np.testing.assert_array_equal(again.frames, row.frame_scores)


def test_names_with_spaces_are_parted_by_tabs(tmp_path):
    """Catches frames of `my file` that come back as those of `my`."""
    frames = np.float32([0.1, 0.7])
    rows = [Judged(Clip(name, "fake"), 640, frame_scores=frames) for name in ("my file.wav", 'a,"b".wav', "c.wav")]
    write_frame_scores(tmp_path / "frames.txt", rows)
    assert list(read_scores(tmp_path / "frames.txt").clips) == ["my file.wav", 'a,"b".wav', "c.wav"]
    write_frame_scores(tmp_path / "plain.txt", [*rows[2:], Judged(Clip("d.wav", "real"), 0)])
    first = (tmp_path / "plain.txt").read_text().splitlines()[0]
    assert first == f"c.wav 0.0 0.02 {float(np.float32(0.1))!r}"


def test_names_with_line_breaks_are_refused(tmp_path):
    """Catches a name that makes two lines out of one; and what was there before stays."""
    row = Judged(Clip("a\nb", "fake"), 640, score=1.0, frame_scores=np.zeros(2, np.float32))
    for write in (write_scores, write_frame_scores):
        path = file_with(tmp_path, "before")
        with pytest.raises(ToolkitError, match="line breaks"):
            write(path, [row])
        assert path.read_text() == "before"
    with pytest.raises(ToolkitError, match="tabs"):
        write_frame_scores(path, [Judged(Clip("a\tb", "fake"), 640, frame_scores=np.zeros(2, np.float32))])


def test_the_same_frames_give_the_same_bytes(tmp_path):
    """Catches the time of writing in the head of a gzip file."""
    rows = [Judged(Clip("a", "fake"), 640, frame_scores=np.zeros(2, np.float32))]
    for name in ("x.gz", "y.gz"):
        write_frame_scores(tmp_path / name, rows)
    assert (tmp_path / "x.gz").read_bytes() == (tmp_path / "y.gz").read_bytes()
