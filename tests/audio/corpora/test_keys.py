"""Label files without audio: which kind they are, and what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio.corpora import read_keys
from audio.corpora.lines import FORMS
from audio.errors import ManifestError
from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip, write_manifest
from audio.segments import Segment

ASVSPOOF_2019 = "LA_0039 LA_E_1000001 - A11 spoof\nLA_0030 LA_E_1000002 - - bonafide\n"
ASVSPOOF_2021_LA = (
    "LA_0009 LA_E_1000001 alaw ita_tx A07 spoof notrim eval\nLA_0009 x none - - bonafide notrim progress\n"
)
ASVSPOOF_2021_DF = (
    "LA_0023 DF_E_1 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -\n"
    "TEF2 DF_E_2 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_autoregressive Task1 team20 FF E\n"
)
DF_STYLE = (
    "some_tts_book_01 some_tts_book_01 nocodec asvspoof some_tts spoof notrim eval Unknown - - - -\n"
    "4 4 nocodec asvspoof - bonafide notrim eval Unknown - - - -\n"
)
ASVSPOOF_5 = "D_4461 D_1 F - - - AC1 A14 spoof -\nD_0461 D_2 M C04 2 1 - bonafide bonafide -\n"
ASVSPOOF_5_KEY = "filename\tcm-label\nD_1\tspoof\nD_2\tbonafide\n"
IN_THE_WILD = "file,speaker,label\n0.wav,Ada Example,spoof\n1.wav,Bo Example,bona-fide\n"
SPANS = (
    "dev-clean_1_2 2.500 bonafide 0.000-2.500-bonafide\n"
    "dev01-x-partial-cf_1_2 1.692 spoof 0.000-0.500-bonafide 0.500-1.300-spoof 1.300-1.692-bonafide\n"
    "dev01-x-full_1_2 1.000 spoof 0.000-1.000-spoof\n"
)
HALF_TRUTH = "a/b_fake_1 0.00-1.00-T/1.00-1.50-F/1.50-2.00-T 0\nb_real_1 0-3.2-T 1\nb_fake_2 0.00-1.00-F 0\n"
PLAIN = "a.wav genuine\nb.wav fake\nc.wav bona-fide\nd.wav Hybrid\n"


def keys(tmp_path: Path, text: str, name: str = "labels.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_keys(path)


def complaint(tmp_path: Path, text: str, name: str = "labels.txt") -> str:
    with pytest.raises(ManifestError) as raised:
        keys(tmp_path, text, name)
    assert "\n" not in str(raised.value)
    assert str(tmp_path / name) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "kind", "labels"),
    [
        (ASVSPOOF_2019, "ASVspoof 2019 protocol", {"LA_E_1000001": FAKE, "LA_E_1000002": REAL}),
        (ASVSPOOF_2021_LA, "ASVspoof 2021 LA key", {"LA_E_1000001": FAKE, "x": REAL}),
        (ASVSPOOF_2021_DF, "ASVspoof 2021 DF key", {"DF_E_1": FAKE, "DF_E_2": FAKE}),
        (DF_STYLE, "ASVspoof 2021 DF key", {"some_tts_book_01": FAKE, "4": REAL}),
        (ASVSPOOF_5, "ASVspoof 5 protocol", {"D_1": FAKE, "D_2": REAL}),
        (ASVSPOOF_5_KEY, "ASVspoof 5 scoring key", {"D_1": FAKE, "D_2": REAL}),
        (IN_THE_WILD, "In-the-Wild meta.csv", {"0.wav": FAKE, "1.wav": REAL}),
        (
            SPANS,
            "label lines with spans (LlamaPartialSpoof)",
            {"dev-clean_1_2": REAL, "dev01-x-partial-cf_1_2": HYBRID, "dev01-x-full_1_2": FAKE},
        ),
        (HALF_TRUTH, "Half-truth label lines", {"a/b_fake_1": HYBRID, "b_real_1": REAL, "b_fake_2": FAKE}),
        (PLAIN, "plain labels", {"a.wav": REAL, "b.wav": FAKE, "c.wav": REAL, "d.wav": HYBRID}),
    ],
)
def test_kinds(tmp_path: Path, text: str, kind: str, labels: dict[str, str]) -> None:
    """Catches a kind mistaken for another, the wrong column for id or label, and inverted labels."""
    found = keys(tmp_path, text)
    assert found.kind == kind
    assert {name: clip.label for name, clip in found.clips.items()} == labels
    assert all(name == clip.path for name, clip in found.clips.items())


def test_white_space_and_byte_order_marks(tmp_path: Path) -> None:
    """Catches files from Windows, with tabs, or with blank lines in them."""
    text = "\ufeff\n" + ASVSPOOF_2019.replace(" ", "\t").replace("\n", "\r\n\r\n")
    assert list(keys(tmp_path, text).clips) == ["LA_E_1000001", "LA_E_1000002"]


def test_a_first_line_fits_one_form_only() -> None:
    """Catches a file whose kind depends on the order in which forms are tried."""
    for text in (ASVSPOOF_2019, ASVSPOOF_2021_LA, ASVSPOOF_2021_DF, ASVSPOOF_5, SPANS, HALF_TRUTH, PLAIN):
        for line in text.splitlines():
            assert len([form for form in FORMS if form.fits(line.split())]) == 1


def test_what_else_a_key_knows(tmp_path: Path) -> None:
    """Catches facts in the wrong column, and dashes taken for facts."""
    la = keys(tmp_path, ASVSPOOF_2021_LA).clips
    assert (la["LA_E_1000001"].codec, la["LA_E_1000001"].generator) == ("alaw", "A07")
    assert la["LA_E_1000001"].traits == {"transmission": "ita_tx", "trim": "notrim", "phase": "eval"}
    assert (la["x"].codec, la["x"].generator, la["x"].speaker) == ("", "", "LA_0009")
    df = keys(tmp_path, ASVSPOOF_2021_DF).clips["DF_E_2"]
    assert (df.language, df.codec, df.traits["sexes"]) == ("en", "low_m4a", "FF")
    five = keys(tmp_path, ASVSPOOF_5).clips["D_2"]
    assert (five.codec, five.generator) == ("C04", "")
    assert five.traits == {"sex": "male", "codec_quality": "2", "codec_seed": "1"}


def test_an_id_in_the_speaker_column_is_no_speaker(tmp_path: Path) -> None:
    """Catches one speaker a clip, which would make an interval clustered by speaker far too narrow."""
    assert {clip.speaker for clip in keys(tmp_path, DF_STYLE).clips.values()} == {""}


def test_phases_are_told(tmp_path: Path) -> None:
    """Catches progress and eval trials pooled without a word."""
    assert keys(tmp_path, ASVSPOOF_2021_LA).notes == ("trials by phase: eval 1, progress 1",)


def test_spans_are_in_samples(tmp_path: Path) -> None:
    """Catches seconds, lost genuine spans and lengths."""
    clip = keys(tmp_path, SPANS).clips["dev01-x-partial-cf_1_2"]
    assert clip.segments == (Segment(0, 8000, REAL), Segment(8000, 20800, FAKE), Segment(20800, 27072, REAL))
    assert clip.n_samples == 27072


def test_our_own_manifest(tmp_path: Path) -> None:
    clip = Clip("a/b.wav", HYBRID, (Segment(5, 10),), n_samples=20)
    write_manifest(tmp_path / "manifest.jsonl", [clip])
    found = read_keys(tmp_path / "manifest.jsonl")
    assert (found.kind, found.clips) == ("manifest", {"a/b.wav": clip})


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('path,label,segments,speaker\na.wav,hybrid,"[[0.5, 1, ""fake""]]",ann\n', HYBRID),
        ("path,label,speaker\na.wav,real,ann\n", REAL),
        ("file,label,speaker\na.wav,bonafide,ann\n", REAL),
        ("NAME,Speaker,Label\na.wav,ann,Spoof\n", FAKE),
        ("path,label,speaker\na.wav,spoof,ann\n", FAKE),
        ("id\tlabel\tspeaker\na.wav\tgenuine\tann\n", REAL),
    ],
)
def test_tables(tmp_path: Path, text: str, label: str) -> None:
    """Catches tables read by the place of their columns, and spans lost from ours."""
    (clip,) = keys(tmp_path, text, "labels.csv").clips.values()
    assert (clip.path, clip.speaker, clip.label) == ("a.wav", "ann", label)
    assert bool(clip.segments) == ("segments" in text)


def test_a_table_keeps_the_rest_as_traits(tmp_path: Path) -> None:
    (clip,) = keys(tmp_path, "file,label,split,codec,room\na.wav,spoof,eval,mp3,hall\n").clips.values()
    assert (clip.label, clip.split, clip.codec, clip.traits) == (FAKE, "test", "mp3", {"room": "hall"})


@pytest.mark.parametrize(
    "text", ["a.wav 0\nb.wav 1\n", "a.wav 1\n", "id\ttag\na\t0\n", "file,label\na.wav,1\n", "x real 0\n"]
)
def test_bare_numbers_are_refused(tmp_path: Path, text: str) -> None:
    """Catches the polarity being guessed."""
    said = complaint(tmp_path, text)
    assert "1 is genuine" in said or "tag" in text


@pytest.mark.parametrize("text", ["LA_E_9332881\n", "asv_score,cm_score\n0.1,0.2\n", "a b c d\n", "{not json\n", "\n"])
def test_an_unknown_layout(tmp_path: Path, text: str) -> None:
    """Catches score files and lists of ids taken for labels."""
    assert "expected" in complaint(tmp_path, text).lower()


def test_an_unknown_layout_is_quoted_and_the_known_ones_named(tmp_path: Path) -> None:
    said = complaint(tmp_path, "one two three\n")
    assert "'one two three'" in said
    assert all(form.kind in said for form in FORMS)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (ASVSPOOF_2019 + "LA_0030 LA_E_3 - - human\n", 3),
        (ASVSPOOF_2019 + "LA_0030 LA_E_3 -\n", 3),
        (SPANS + "a 1.0 bonafide 0.0-1.0-spoof\n", 4),
        (SPANS + "a 1.0 spoof 0.0-1.0-bonafide\n", 4),
        (SPANS + "a 1.0 spoof 0.0-0.9-spoof 0.5-1.0-bonafide\n", 4),
        (SPANS + "a 1.0 spoof 0.9-0.1-spoof\n", 4),
        (SPANS + "a 1.0 spoof 0.0-1e99-spoof\n", 4),
        (SPANS + "a x spoof 0.0-1.0-spoof\n", 4),
        (SPANS + "a 1.0 spoof 0.0-1.0\n", 4),
        (HALF_TRUTH + "c 0.00-1.00-T 0\n", 4),
        (HALF_TRUTH + "c 0.00-1.00-F 1\n", 4),
        (HALF_TRUTH + "c 0.00-0.00-T 1\n", 4),
        (IN_THE_WILD + "2.wav,Cy\n", 4),
        (IN_THE_WILD + "2.wav,Cy,fishy\n", 4),
        (PLAIN + "/etc/passwd real\n", 5),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, text: str, line: int) -> None:
    """Catches broken lines that are skipped, and messages that do not say where to look."""
    assert f":{line}: " in complaint(tmp_path, text)


@pytest.mark.parametrize("text", [ASVSPOOF_2019, SPANS, HALF_TRUTH, PLAIN, IN_THE_WILD, ASVSPOOF_5_KEY])
def test_an_id_that_occurs_twice(tmp_path: Path, text: str) -> None:
    """Catches the second label winning; both places are named."""
    said = complaint(tmp_path, text + text.splitlines()[-1] + "\n")
    assert f":{text.count(chr(10)) + 1}: " in said
    assert f":{text.count(chr(10))}" in said.split("also at")[1]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_keys(tmp_path / "nothing.txt")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ManifestError, match="UTF-8"):
        read_keys(tmp_path / "labels.txt")
