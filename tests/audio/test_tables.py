"""Sets that are written down as CSV, and opening a set however it is written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio.errors import ManifestError
from audio.manifest import Clip, read_set, read_table, write_manifest
from audio.segments import Segment

TABLE = """\
path,label,generator,kind,speaker,language,duration_s,source_clip,split,codec,text
real/a b.flac,Real,,,ann,en,1.5,,train,g722,"said, so"
fake/x.flac, FAKE ,hifigan,vocoder,,en,,real/a b.flac,extra,,
"""


def table(tmp_path: Path, text: str, *, name: str = "manifest.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_a_table_of_somebody_else(tmp_path: Path) -> None:
    """Catches columns taken by place, labels by case, splits that we do not know, and empty cells read as text."""
    assert read_table(table(tmp_path, TABLE)) == [
        Clip(
            "real/a b.flac",
            "real",
            speaker="ann",
            language="en",
            split="train",
            codec="g722",
            text="said, so",
            traits={"duration_s": "1.5"},
        ),
        Clip(
            "fake/x.flac",
            "fake",
            generator="hifigan",
            language="en",
            source_clip="real/a b.flac",
            traits={"kind": "vocoder"},
        ),
    ]


def test_spans_in_a_table(tmp_path: Path) -> None:
    """Catches seconds taken for samples, and the column kept as a trait beside."""
    text = 'path,label,segments\na.wav,hybrid,"[[0.5, 1.28, ""fake""], [1.28, 2, ""real""]]"\nb.wav,real,\n'
    spans = (Segment(8_000, 20_480, "fake"), Segment(20_480, 32_000, "real"))
    assert read_table(table(tmp_path, text)) == [Clip("a.wav", "hybrid", spans), Clip("b.wav", "real")]


def test_short_rows_blank_lines_and_spreadsheets(tmp_path: Path) -> None:
    """Catches a row that ends early, cells too many, the mark and the line ends that spreadsheets write."""
    text = "\ufeffpath,label,speaker\r\na.wav,real\r\n\r\nb.wav,hybrid,bob,more,cells\r\n"
    assert read_table(table(tmp_path, text)) == [Clip("a.wav", "real"), Clip("b.wav", "hybrid", speaker="bob")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\na.wav,real\nb.wav,bona fide\n", "manifest.csv:3: label: expected one of real, fake, hybrid"),
        ("path,label\na.wav,\n", "manifest.csv:2: label: expected one of real, fake, hybrid, received ''"),
        ("path,label\n../a.wav,real\n", "manifest.csv:2: path: expected a/relative/path"),
        ("path,label\na.wav,real\na.wav,fake\n", "manifest.csv:3: path: 'a.wav' occurs twice"),
        ('path,label,text\na.wav,real,"two\nlines"\nb.wav,x,\n', "manifest.csv:4: label"),
        ("path,label,segments\na.wav,fake,1-2\n", "manifest.csv:2: segments: expected JSON like"),
        ("path,label,segments\na.wav,fake,5\n", "manifest.csv:2: segments: expected JSON like"),
        ('path,label,segments\na.wav,fake,"[[2,1,""fake""]]"\n', "manifest.csv:2: segment bounds"),
        ("path;label\na.wav;real\n", "expected the columns path and label, path is missing: path;label"),
        ("path,class\na.wav,real\n", "label is missing"),
        ("", "an empty file"),
        ("path,label\na.wav,real\n" + "x" * 200_000 + ",real\n", "cannot be read as CSV"),
    ],
)
def test_mistakes_are_named_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read_table(table(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_tables(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ManifestError, match="UTF-8"):
        read_table(table(tmp_path, "path,label\nä.wav,real\n", encoding="latin-1"))


def test_a_set_opens_however_it_is_written_down(tmp_path: Path) -> None:
    """Catches a table preferred to the manifest beside it, and a root that `resolve` does not understand."""
    (tmp_path / "Fake").mkdir()
    (tmp_path / "Fake" / "x.wav").touch()
    assert read_set(tmp_path) == (tmp_path, [Clip("Fake/x.wav", "fake")])
    csv = table(tmp_path, "path,label\nt.wav,real\n")
    assert read_set(tmp_path) == (csv, [Clip("t.wav", "real")])
    jsonl = tmp_path / "manifest.jsonl"
    write_manifest(jsonl, [Clip("m.wav", "hybrid")])
    assert read_set(tmp_path) == (jsonl, [Clip("m.wav", "hybrid")])
    assert read_set(csv) == (csv, [Clip("t.wav", "real")])
    other = table(tmp_path, "path,label\nu.wav,real\n", name="Other.CSV")
    assert read_set(other)[1] == [Clip("u.wav", "real")]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no recordings found"):
        read_set(tmp_path)
    with pytest.raises(ManifestError, match="cannot be read"):
        read_set(tmp_path / "none")
