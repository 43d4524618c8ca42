"""Half-truth (HAD) and its kin, track 2 of ADD 2023, and LlamaPartialSpoof: label lines with spans, one file a part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from audio.corpora.asvspoof import ENGLISH
from audio.corpora.corpus import Corpus, Count, Folder, Labelled
from audio.corpora.lines import HALF_TRUTH, SPANS, known, labelled_lines, settle_classes, text_lines
from audio.errors import ManifestError
from audio.manifest import Clip

CHINESE = "zh"


def _half_truth_file(folder: Folder, path: Path) -> Iterator[tuple[str, Clip]]:
    clips, said = settle_classes(dict(labelled_lines(path, HALF_TRUTH.parse)))
    folder.notes.append(f"{path.name}: {said}")
    yield from ((where, replace(clip, language=CHINESE)) for where, clip in clips.items())


def _read_had(folder: Folder) -> Iterator[Labelled]:
    for part, split in (("train", "train"), ("dev", "dev"), ("test", "test")):
        path = folder.file(f"HAD_{part}_label.txt")
        if path is not None:
            for where, clip in _half_truth_file(folder, path):
                yield folder.placed(clip, where, suffix=".wav", split=split)


PARTS = {"T": "train", "D": "dev", "E": "test"}
"""The letter of the part in the ids of ADD 2023, such as ADD2023_T2_T_00000001."""


def _read_add_2023(folder: Folder) -> Iterator[Labelled]:
    files = [path for path in folder.others if re.search(r"(?:^|/)[^/]*label[^/]*\.txt$", path)]
    for path in filter(_is_half_truth, (folder.root / path for path in files)):
        for where, clip in _half_truth_file(folder, path):
            part = re.search(r"_T2\w*?_([TDE])_", clip.path)
            yield folder.placed(clip, where, suffix=".wav", split=PARTS[part[1]] if part else "")


def _is_half_truth(path: Path) -> bool:
    return HALF_TRUTH.fits(next((line.split() for _, line in text_lines(path)), []))


_LLAMA_NAME = re.compile(r"(?:dev|test)\d*-(?P<system>[^_]+?)-(?P<kind>full|partial)(?:-(?P<join>\w\w))?_")
"""`dev01-SYSTEM-full_...` and `dev01-SYSTEM-partial-cf_...`; genuine ones are `dev-clean_...`."""

JOINS = {"cf": "crossfade", "cp": "cut and paste", "oa": "overlap and add"}
"""How partial spoofs were joined, by the letters in their names."""


def _read_llama(folder: Folder) -> Iterator[Labelled]:
    files = [path for path in folder.others if re.fullmatch(r"(?:.*/)?label_R01TTS[^/]*\.txt", path)]
    if not files:
        raise ManifestError(f"{folder.root}: expected label_R01TTS.0.a.txt and label_R01TTS.0.b.txt, received none")
    splits = {name: split for split in ("train", "test") for name in _names(folder, split)}
    for path in files:
        subset = Path(path).stem.removeprefix("label_")
        for where, clip in labelled_lines(folder.root / path, SPANS.parse):
            facts = _llama_facts(clip, subset)
            split = splits.get(clip.path, "")
            yield folder.placed(clip, where, below=subset, suffix=".wav", split=split, language=ENGLISH, **facts)


def _names(folder: Folder, split: str) -> list[str]:
    """Return the ids of the authors' split, which lies in their repository and not in the download."""
    return [line.strip() for path in folder.files(f"{split}.utt") for _, line in text_lines(folder.root / path)]


def _llama_facts(clip: Clip, subset: str) -> dict[str, object]:
    """Take speaker (of LibriTTS), system and kind out of an id."""
    found = _LLAMA_NAME.match(clip.path)
    named = {name: text or "" for name, text in found.groupdict().items()} if found else {}
    traits = known(subset=subset, kind=named.get("kind", ""), join=JOINS.get(named.get("join", ""), ""))
    speaker = re.match(r"[^_]+_(\d+)_", clip.path)
    return {"generator": named.get("system", ""), "speaker": speaker[1] if speaker else "", "traits": traits}


HAD = Corpus(
    name="had",
    title="Half-truth (HAD)",
    url="https://zenodo.org/records/10377492",
    layout="""\
HAD/
  HAD_train/HAD_train_label.txt    HAD_dev/HAD_dev_label.txt    HAD_test/HAD_test_label.txt
  HAD_train/**/HAD_train_*.wav     HAD_dev/**/HAD_dev_*.wav     HAD_test/**/HAD_test_*.wav   (inner zips unpacked)""",
    read=_read_had,
)

ADD_2023_TRACK_2 = Corpus(
    name="add2023-track2",
    title="ADD 2023, track 2 (manipulation region location)",
    url="http://addchallenge.cn/downloadADD2023",
    layout="""\
FOLDER/
  ADD2023_Track2_train/label.txt, wav/ADD2023_T2_T_*.wav
  ADD2023_Track2_dev/label.txt,   wav/ADD2023_T2_D_*.wav       (and so on)""",
    read=_read_add_2023,
    # Yi et al. 2023, arXiv 2305.13774. The labels of the test part came out apart; sources differ by one for dev.
    counts=(Count(53_093, {"split": "train"}), Count(50_000, {"split": "test"}, if_any=True)),
)

LLAMA_PARTIAL_SPOOF = Corpus(
    name="llamapartialspoof",
    title="LlamaPartialSpoof",
    url="https://zenodo.org/records/14214149",
    layout="""\
FOLDER/
  label_R01TTS.0.a.txt, label_R01TTS.0.b.txt
  R01TTS.0.a/*.wav    R01TTS.0.b/*.wav
  split/train.utt, split/test.utt       (from github.com/hieuthi/LlamaPartialSpoof, if you want its split)""",
    read=_read_llama,
    # Counted on the release 1.0.b by several people who list its files; the paper (arXiv 2409.14743) gives hours.
    counts=(Count(76_228, {"subset": "R01TTS.0.a"}), Count(64_388, {"subset": "R01TTS.0.b"}, if_any=True)),
)
