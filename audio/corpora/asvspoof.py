"""ASVspoof 2019 LA, 2021 LA and DF, and 5: one protocol line a trial.

Licences and papers: https://www.asvspoof.org. Bona fide and spoofed trials only, no partial spoofs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from audio.corpora.corpus import Corpus, Count, Folder, Labelled
from audio.corpora.lines import (
    ASVSPOOF_5,
    ASVSPOOF_2019,
    ASVSPOOF_2021_DF,
    ASVSPOOF_2021_LA,
    SPLIT_NAMES,
    LineForm,
)
from audio.labels import FAKE, REAL

ENGLISH = "en"


def both(n_real: int, n_fake: int, *, split: str, fakes: tuple[str, ...] = (FAKE,)) -> tuple[Count, Count]:
    """Return the two counts of a split: real, and what is labelled as one of `fakes`."""
    return Count(n_real, {"split": split}, labels=(REAL,)), Count(n_fake, {"split": split}, labels=fakes)


def _read_2019(folder: Folder) -> Iterator[Labelled]:
    for part, ending in (("train", "trn"), ("dev", "trl"), ("eval", "trl")):
        path = folder.file(f"ASVspoof2019.LA.cm.{part}.{ending}.txt")
        if path is not None:
            below = f"ASVspoof2019_LA_{part}"
            split = SPLIT_NAMES[part]
            yield from folder.lines(path, ASVSPOOF_2019, suffix=".flac", below=below, split=split, language=ENGLISH)


def _read_2021(folder: Folder, *, task: str, form: LineForm) -> Iterator[Labelled]:
    """All of 2021 is for testing; which trials counted in the challenge is the trait `phase`."""
    path = folder.file(f"{task}/CM/trial_metadata.txt", "CM/trial_metadata.txt", "trial_metadata.txt")
    if path is None:
        return
    n_by_phase: dict[str, int] = {}
    for item in folder.lines(path, form, suffix=".flac", below=f"ASVspoof2021_{task}_eval", split="test"):
        phase = item.clip.traits.get("phase", "none")
        n_by_phase[phase] = n_by_phase.get(phase, 0) + 1
        yield item
    shares = ", ".join(f"{phase} {n}" for phase, n in n_by_phase.items())
    folder.notes.append(f"trials by phase: {shares}; published figures are on the phase eval alone")


def _read_2021_la(folder: Folder) -> Iterator[Labelled]:
    return _read_2021(folder, task="LA", form=ASVSPOOF_2021_LA)


def _read_2021_df(folder: Folder) -> Iterator[Labelled]:
    return _read_2021(folder, task="DF", form=ASVSPOOF_2021_DF)


def _read_5(folder: Folder) -> Iterator[Labelled]:
    parts = (("train.tsv", "flac_T", "train"), ("dev.track_1.tsv", "flac_D", "dev"))
    for name, below, split in (*parts, ("eval.track_1.tsv", "flac_E_eval", "test")):
        path: Path | None = folder.file(f"ASVspoof5.{name}")
        if path is not None:
            yield from folder.lines(path, ASVSPOOF_5, suffix=".flac", below=below, split=split, language=ENGLISH)


ASVSPOOF_2019_LA = Corpus(
    name="asvspoof2019-la",
    title="ASVspoof 2019 LA",
    url="https://doi.org/10.7488/ds/2555",
    layout="""\
LA/
  ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt, .dev.trl.txt, .eval.trl.txt
  ASVspoof2019_LA_train/flac/LA_T_*.flac
  ASVspoof2019_LA_dev/flac/LA_D_*.flac
  ASVspoof2019_LA_eval/flac/LA_E_*.flac""",
    read=_read_2019,
    # Wang et al. 2020, "ASVspoof 2019: a large-scale public database"; the protocols have as many lines.
    counts=(*both(2_580, 22_800, split="train"), *both(2_548, 22_296, split="dev"), *both(7_355, 63_882, split="test")),
)

ASVSPOOF_2021_LA_CORPUS = Corpus(
    name="asvspoof2021-la",
    title="ASVspoof 2021 LA",
    url="https://www.asvspoof.org/index2021.html",
    layout="""\
FOLDER/
  ASVspoof2021_LA_eval/flac/LA_E_*.flac
  keys/LA/CM/trial_metadata.txt              (from LA-keys-full.tar.gz)""",
    read=_read_2021_la,
    # Liu et al. 2023, "ASVspoof 2021: towards spoofed and deepfake speech detection in the wild": all phases together.
    counts=both(18_452, 163_114, split="test"),
)

ASVSPOOF_2021_DF_CORPUS = Corpus(
    name="asvspoof2021-df",
    title="ASVspoof 2021 DF",
    url="https://www.asvspoof.org/index2021.html",
    layout="""\
FOLDER/
  ASVspoof2021_DF_eval/flac/DF_E_*.flac      (four archives, unpacked into one another)
  keys/DF/CM/trial_metadata.txt              (from DF-keys-full.tar.gz)""",
    read=_read_2021_df,
    counts=both(22_617, 589_212, split="test"),  # as above
)

ASVSPOOF_5_CORPUS = Corpus(
    name="asvspoof5",
    title="ASVspoof 5",
    url="https://zenodo.org/records/14498691",
    layout="""\
FOLDER/
  ASVspoof5.train.tsv, ASVspoof5.dev.track_1.tsv, ASVspoof5.eval.track_1.tsv
  flac_T/T_*.flac    flac_D/D_*.flac    flac_E_eval/E_*.flac""",
    read=_read_5,
    # Wang et al. 2025, arXiv 2502.08857, track 1.
    counts=(
        *both(18_797, 163_560, split="train"),
        *both(31_334, 109_616, split="dev"),
        *both(138_688, 542_086, split="test"),
    ),
)
