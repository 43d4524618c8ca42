"""PartialSpoof: trials of ASVspoof 2019 LA with spoofed segments in genuine speech and the other way round.

Its segment labels come as arrays of frames, whose polarity differs between copies ('0' is spoof in the original,
bona fide in others), as RTTM, and relabelled by the author of LlamaPartialSpoof. The polarity is taken from the
protocol's bona fide utterances, never from a convention.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from audio.corpora.asvspoof import ENGLISH, both
from audio.corpora.corpus import Corpus, Folder, Labelled
from audio.corpora.frames import read_frame_labels
from audio.corpora.lines import (
    ASVSPOOF_2019,
    SPANS,
    SPLIT_NAMES,
    agreed,
    is_label,
    label_named,
    labelled_lines,
    placed,
    something,
    spans_of,
    text_lines,
)
from audio.errors import ManifestError
from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip
from audio.segments import SAMPLE_RATE, Segment

Spans = Mapping[str, tuple[Segment, ...]]
"""The labelled spans by utterance."""

SILENCE = ("nonspeech", "non-speech", "sil", "silence")
"""Labels of RTTM lines that say nothing about fake or genuine."""


def _read(folder: Folder) -> Iterator[Labelled]:
    for part in ("train", "dev", "eval"):
        path = folder.file(f"PartialSpoof.LA.cm.{part}.trl.txt")
        if path is not None:
            yield from _read_part(folder, part, clips=dict(_protocol(path)))


def _protocol(path: Path) -> Iterator[tuple[str, Clip]]:
    """Yield the lines of a protocol; what is concatenated names no generator."""
    for where, clip in labelled_lines(path, ASVSPOOF_2019.parse):
        yield where, replace(clip, generator=something(clip.generator, "con"), language=ENGLISH)


def _read_part(folder: Folder, part: str, *, clips: Mapping[str, Clip]) -> Iterator[Labelled]:
    source, spans = _spans_of_part(folder, part, clips=clips)
    for where, clip in clips.items():
        found = placed(where, partial(_with_spans, clip, spans, source=source))
        yield folder.placed(found, where, below=f"{part}/con_wav", suffix=".wav", split=SPLIT_NAMES[part])


def _with_spans(clip: Clip, spans: Spans, *, source: str) -> Clip:
    segments = spans.get(clip.path, ())
    if not segments and clip.label == FAKE:
        raise ManifestError(f"spans of {clip.path}: expected them in {source}, received none")
    return replace(clip, label=agreed(clip.label, segments), segments=segments)


def _spans_of_part(folder: Folder, part: str, *, clips: Mapping[str, Clip]) -> tuple[str, Spans]:
    """Return the best labels of one part that are there, and where: frames, the finest first, RTTM, label lines."""
    readers: tuple[tuple[list[str], Callable[[Path], Spans]], ...] = (
        (_finest(folder, part), lambda path: _from_frames(folder, path, clips=clips)),
        (folder.files(f"{part}/con_data/rttm_2cls_0sil") + folder.files(f"{part}.rttm"), read_rttm),
        (_label_files(folder, clips), _from_label_lines),
    )
    for files, read in readers:
        if files:
            return files[0], read(folder.root / files[0])
    raise ManifestError(
        f"{folder.root}: expected segment labels of {part} (such as {part}_seglab_0.01.npy), found none"
    )


def _finest(folder: Folder, part: str) -> list[str]:
    """Return the array of a part with the shortest frames, if there is any."""
    pattern = re.compile(rf"(?:.*/)?{part}_seglab_(0\.\d+)\.npy")
    found = [(float(match[1]), path) for path in folder.others if (match := pattern.fullmatch(path))]
    best = [path for resolution, path in sorted(found) if resolution == min(found)[0]]
    if len(best) > 1:
        raise ManifestError(f"{folder.root}: expected one array for {part}, received {' and '.join(best)}")
    return best


def _from_frames(folder: Folder, path: Path, *, clips: Mapping[str, Clip]) -> Spans:
    frames = read_frame_labels(path)
    real = {clip.path for clip in clips.values() if clip.label == REAL}
    genuine = _genuine_symbol(path, frames, real=real)
    folder.notes.append(
        f"{path.name}: {genuine!r} is bona fide and {_other(genuine)!r} is spoof, "
        f"as its {len(real & frames.keys())} bona fide utterances show"
    )
    hop = round(float(path.stem.rpartition("_")[2]) * SAMPLE_RATE)
    return {name: frame_spans(labels, genuine=genuine, hop_samples=hop) for name, labels in frames.items()}


def _genuine_symbol(path: Path, frames: Mapping[str, str], *, real: set[str]) -> str:
    """Return the symbol that all bona fide utterances consist of."""
    symbols = {symbol for labels in frames.values() for symbol in labels}
    if not symbols <= {"0", "1"}:
        raise ManifestError(f"{path}: expected labels 0 and 1, received {', '.join(sorted(symbols - {'0', '1'})[:5])}")
    genuine = {symbol for name in real & frames.keys() for symbol in frames[name]}
    if len(genuine) != 1:
        received = "both 0 and 1 in them" if genuine else "none of them"
        raise ManifestError(f"{path}: expected the bona fide utterances to show the polarity, received {received}")
    return genuine.pop()


def _other(symbol: str) -> str:
    return "0" if symbol == "1" else "1"


def frame_spans(labels: str, *, genuine: str, hop_samples: int) -> tuple[Segment, ...]:
    """Turn one symbol a frame into spans; the last may end up to a frame behind the end of the recording.

    Parameters
    ----------
    labels
        The symbol of each frame; frame i starts at `i * hop_samples`.
    genuine
        The symbol of a genuine frame; every other is fake.
    hop_samples
        Length of a frame in samples.
    """
    ends = [0, *(match.end() for match in re.finditer(r"(.)\1*", labels))]
    return tuple(
        Segment(start * hop_samples, end * hop_samples, REAL if labels[start] == genuine else FAKE)
        for start, end in pairwise(ends)
    )


def read_rttm(path: Path) -> dict[str, tuple[Segment, ...]]:
    """Read lines `SPEAKER id 1 start duration <NA> <NA> label <NA> <NA>`; spans labelled as `SILENCE` are left out.

    Raises
    ------
    ManifestError
        Naming file and line, for a line of another form or a label that is neither bona fide nor spoof.
    """
    items: dict[str, list[tuple[str, str, str]]] = {}
    for number, line in text_lines(path):
        cells = line.split()
        if len(cells) != 10 or not (is_label(cells[7]) or cells[7].lower() in SILENCE):
            raise ManifestError(f"{path}:{number}: expected an RTTM line, bonafide or spoof, received {line[:80]!r}")
        spans = items.setdefault(cells[1], [])
        if is_label(cells[7]):
            spans.append((cells[3], _end(cells[3], cells[4], where=f"{path}:{number}"), label_named(cells[7])))
    return {name: _spans(f"{path}: {name}", spans) for name, spans in items.items()}


def _spans(where: str, items: Sequence[tuple[str, str, str]]) -> tuple[Segment, ...]:
    try:
        return spans_of(items)
    except ManifestError as error:
        raise ManifestError(f"{where}: {error}") from None


def _end(onset_s: str, duration_s: str, *, where: str) -> str:
    try:
        return str(float(onset_s) + float(duration_s))
    except ValueError:
        raise ManifestError(f"{where}: expected start and duration, received {onset_s} and {duration_s}") from None


def _label_files(folder: Folder, clips: Mapping[str, Clip]) -> list[str]:
    """Return the files `label_*.txt` whose first line is about one of the clips."""
    names = {clip.path for clip in clips.values()}
    found = [path for path in folder.others if re.fullmatch(r"(?:.*/)?label_[^/]*\.txt", path)]
    return [path for path in found if _first_cell(folder.root / path) in names]


def _first_cell(path: Path) -> str:
    return next((line.split()[0] for _, line in text_lines(path)), "")


def _from_label_lines(path: Path) -> Spans:
    return {clip.path: clip.segments for _, clip in labelled_lines(path, SPANS.parse)}


PARTIAL_SPOOF = Corpus(
    name="partialspoof",
    title="PartialSpoof",
    url="https://zenodo.org/records/5766198",
    layout="""\
database/
  protocols/PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm.train.trl.txt, .dev.trl.txt, .eval.trl.txt
  train/con_wav/CON_T_*.wav, LA_T_*.wav    dev/con_wav/    eval/con_wav/
  segment_labels/train_seglab_0.01.npy ... eval_seglab_0.64.npy       (the finest is read)
  or train/con_data/rttm_2cls_0sil ..., or label_*.txt                (where there are no .npy)""",
    read=_read,
    # Zhang et al. 2023, doi 10.1109/TASLP.2022.3233236: as many trials of each class as ASVspoof 2019 LA.
    counts=(
        *both(2_580, 22_800, split="train", fakes=(FAKE, HYBRID)),
        *both(2_548, 22_296, split="dev", fakes=(FAKE, HYBRID)),
        *both(7_355, 63_882, split="test", fakes=(FAKE, HYBRID)),
    ),
)
