"""PartialSpoof: pickles from strangers, both polarities, and whichever segment labels are there."""

from __future__ import annotations

import io
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpus_trees import PROTOCOLS, frames_file, spans

from audio.corpora import CORPORA, read_corpus
from audio.corpora.frames import read_frame_labels
from audio.corpora.partialspoof import frame_spans, read_rttm
from audio.errors import ManifestError
from audio.labels import FAKE, HYBRID, REAL
from audio.segments import Segment


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The train part alone, without segment labels."""
    monkeypatch.setitem(CORPORA, "partialspoof", replace(CORPORA["partialspoof"], counts=()))
    (tmp_path / PROTOCOLS).mkdir(parents=True)
    (tmp_path / "train/con_wav").mkdir(parents=True)
    (tmp_path / "segment_labels").mkdir()
    lines = "LA_0079 LA_T_1 - - bonafide\nLA_0080 CON_T_1 - CON spoof\n"
    (tmp_path / PROTOCOLS / "PartialSpoof.LA.cm.train.trl.txt").write_text(lines)
    for name in ("LA_T_1", "CON_T_1"):
        (tmp_path / f"train/con_wav/{name}.wav").touch()
    return tmp_path


def frames(folder: Path, labels: dict[str, str], resolution: str = "0.01") -> None:
    (folder / f"segment_labels/train_seglab_{resolution}.npy").write_bytes(frames_file(labels))


def read(folder: Path):
    return read_corpus("partialspoof", folder, partial=True)


def complaint(folder: Path) -> str:
    with pytest.raises(ManifestError) as raised:
        read(folder)
    return str(raised.value)


HALF = spans((0, 0.02, REAL), (0.02, 0.03, FAKE))


@pytest.mark.parametrize(("genuine", "spoof"), ["10", "01"])
def test_both_polarities(train: Path, genuine: str, spoof: str) -> None:
    """Catches a convention hard-wired: half of the copies in the world have the other one."""
    frames(train, {"LA_T_1": 3 * genuine, "CON_T_1": 2 * genuine + spoof})
    reading = read(train)
    assert [(clip.label, clip.segments) for clip in reading.clips] == [(REAL, spans((0, 0.03, REAL))), (HYBRID, HALF)]
    assert any(f"{genuine!r} is bona fide and {spoof!r} is spoof" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"LA_T_1": "110", "CON_T_1": "110"}, "received both 0 and 1 in them"),
        ({"CON_T_1": "110"}, "received none of them"),
        ({"LA_T_1": "112", "CON_T_1": "110"}, "expected labels 0 and 1, received 2"),
        ({"LA_T_1": "111"}, "expected them in segment_labels/train_seglab_0.01.npy, received none"),
        ({"LA_T_1": "111", "CON_T_1": "111"}, "agree with its spans"),
    ],
)
def test_labels_that_do_not_hold_together(train: Path, labels: dict[str, str], said: str) -> None:
    """Catches a polarity guessed, and spoofed trials without spans passing for fake from end to end."""
    frames(train, labels)
    assert said in complaint(train)


def test_the_finest_frames_win(train: Path) -> None:
    """Catches 0.64 s of blur, and resolutions compared as text."""
    for resolution in ("0.64", "0.02", "0.16", "0.08"):
        frames(train, {"LA_T_1": "1", "CON_T_1": "10"}, resolution)
    assert read(train).clips[1].segments == spans((0, 0.02, REAL), (0.02, 0.04, FAKE))


def test_two_releases_of_one_array(train: Path) -> None:
    """Catches the older release of the labels winning because of its name."""
    frames(train, {"LA_T_1": "1", "CON_T_1": "10"})
    (train / "segment_labels_v1.2").mkdir()
    (train / "segment_labels_v1.2/train_seglab_0.01.npy").write_bytes(frames_file({"LA_T_1": "1", "CON_T_1": "01"}))
    assert "expected one array for train, received segment_labels/" in complaint(train)


def test_rttm(train: Path) -> None:
    """Catches durations taken for ends, and silence taken for a label."""
    (train / "train/con_data").mkdir()
    (train / "train/con_data/rttm_2cls_0sil").write_text(
        "SPEAKER LA_T_1 1 0.00000 0.5 <NA> <NA> bonafide <NA> <NA>\n"
        "SPEAKER CON_T_1 1 0.10000 0.40000 <NA> <NA> bonafide <NA> <NA>\n"
        "SPEAKER CON_T_1 1 0.00000 0.10000 <NA> <NA> nonspeech <NA> <NA>\n"
        "SPEAKER CON_T_1 1 0.50000 0.25000 <NA> <NA> spoof <NA> <NA>\n"
    )
    assert read(train).clips[1].segments == spans((0.1, 0.5, REAL), (0.5, 0.75, FAKE))
    frames(train, {"LA_T_1": "11", "CON_T_1": "110"})
    assert read(train).clips[1].segments == HALF


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER a 1 0.0 0.5 <NA> <NA> human <NA> <NA>",
        "SPEAKER a 1 0.0 0.5 <NA> bonafide",
        "SPEAKER a 1 zero 0.5 <NA> <NA> bonafide <NA> <NA>",
        "SPEAKER a 1 -1.0 0.5 <NA> <NA> bonafide <NA> <NA>",
    ],
)
def test_broken_rttm(tmp_path: Path, line: str) -> None:
    (tmp_path / "rttm").write_text(line + "\n")
    with pytest.raises(ManifestError, match=r"rttm:.*expected"):
        read_rttm(tmp_path / "rttm")


def test_relabelled_lines(train: Path) -> None:
    """The label file of the author of LlamaPartialSpoof, found by the ids in it; that of another set is not."""
    (train / "label_other.txt").write_text("dev-clean_1 1.0 bonafide 0.0-1.0-bonafide\n")
    (train / "label_PartialSpoof.txt").write_text(
        "LA_T_1 0.030 bonafide 0.000-0.030-bonafide\nCON_T_1 0.030 spoof 0.000-0.020-bonafide 0.020-0.030-spoof\n"
    )
    assert read(train).clips[1].segments == HALF


def test_no_segment_labels_at_all(train: Path) -> None:
    """Catches hybrids labelled fake because nothing says otherwise."""
    assert "expected segment labels of train" in complaint(train)


def test_frames_to_spans() -> None:
    assert frame_spans("", genuine="1", hop_samples=160) == ()
    assert frame_spans("0110", genuine="1", hop_samples=160) == (
        Segment(0, 160, FAKE),
        Segment(160, 480, REAL),
        Segment(480, 640, FAKE),
    )


# Pickles from strangers.


def array_file(held: object, **kwargs: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(held, dtype=object), **kwargs)
    return file.getvalue()


def with_pickle(pickled: bytes) -> bytes:
    """A `.npy` whose header is right and whose pickle is a stranger's."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    return file.getvalue() + pickled


class Attack:
    """What it is all about: a pickle that runs a program."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("protocol", range(6))
def test_no_program_runs(tmp_path: Path, protocol: int) -> None:
    """Catches the one bug that would make reading a data set as dangerous as running it."""
    path = tmp_path / "train_seglab_0.01.npy"
    for held in (Attack(tmp_path / "hacked"), {"a": Attack(tmp_path / "hacked")}):
        path.write_bytes(with_pickle(pickle.dumps(held, protocol=protocol)))
        with pytest.raises(ManifestError, match=r"a pickle that calls (posix|nt|os)\.mkdir"):
            read_frame_labels(path)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("name", ["builtins eval", "numpy load", "numpy.core.multiarray scalar", "os system"])
def test_no_other_function_is_let_through(tmp_path: Path, name: str) -> None:
    module, function = name.split()
    path = tmp_path / "x.npy"
    path.write_bytes(with_pickle(f"c{module}\n{function}\n(Vx\ntR.".encode()))
    with pytest.raises(ManifestError, match=rf"calls {module}\.{function}"):
        read_frame_labels(path)


@pytest.mark.parametrize("protocol", range(6))
def test_what_numpy_wrote_is_read(tmp_path: Path, protocol: int) -> None:
    """Catches a reader too strict for the real files, whichever protocol wrote them."""
    held = np.array({"a": np.array(["0", "1"]), "b": np.array(["1"], dtype=object), "c": ["0", 1]}, dtype=object)
    path = tmp_path / "x.npy"
    path.write_bytes(with_pickle(pickle.dumps(held, protocol=protocol)))
    assert read_frame_labels(path) == {"a": "01", "b": "1", "c": "01"}
    path.write_bytes(array_file({"a": np.array([0, 1, 1])}))
    assert read_frame_labels(path) == {"a": "011"}


def test_modules_of_old_and_new_numpy(tmp_path: Path) -> None:
    """Catches files of NumPy 1 that NumPy 2 refuses, and the other way round."""
    path = tmp_path / "x.npy"
    pickled = pickle.dumps(np.array({"a": np.array(["0"])}, dtype=object), protocol=2)
    for module in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        path.write_bytes(with_pickle(pickled.replace(b"numpy._core.multiarray", module)))
        assert read_frame_labels(path) == {"a": "0"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        with_pickle(b""),
        with_pickle(b"garbage"),
        with_pickle(pickle.dumps([1])),
        with_pickle(pickle.dumps({1: ["0"]})),
        with_pickle(pickle.dumps({"a": "01"})),
        with_pickle(pickle.dumps({"a": [["0"]]})),
        with_pickle(pickle.dumps({"a": ["10"]})),
        with_pickle(b"c_codecs\nencode\n(Vx\nVzlib\ntR."),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"x\.npy: "):
        read_frame_labels(path)


def test_plain_arrays_and_missing_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(ManifestError, match="received an array of float64"):
        read_frame_labels(tmp_path / "x.npy")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_frame_labels(tmp_path / "nothing.npy")
