"""Readers of known data sets: each turns a folder as it was downloaded into our clips."""

from __future__ import annotations

import os
from collections.abc import Mapping

from audio.corpora.asvspoof import (
    ASVSPOOF_5_CORPUS,
    ASVSPOOF_2019_LA,
    ASVSPOOF_2021_DF_CORPUS,
    ASVSPOOF_2021_LA_CORPUS,
)
from audio.corpora.corpus import Corpus, Count, Reading, read_folder
from audio.corpora.halftruth import ADD_2023_TRACK_2, HAD, LLAMA_PARTIAL_SPOOF
from audio.corpora.keys import Keys, read_keys
from audio.corpora.named_folders import DEEP_VOICE, FAKE_OR_REAL, FOLDERS, MLAAD, TABLE, WAVE_FAKE
from audio.corpora.partialspoof import PARTIAL_SPOOF
from audio.corpora.tabled import AV_DEEPFAKE_1M, FAKE_AV_CELEB, IN_THE_WILD, LAV_DF
from audio.errors import UsageError

__all__ = ["CORPORA", "Corpus", "Count", "Keys", "Reading", "corpus_named", "read_corpus", "read_keys"]

CORPORA: Mapping[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        *(ASVSPOOF_2019_LA, ASVSPOOF_2021_LA_CORPUS, ASVSPOOF_2021_DF_CORPUS, ASVSPOOF_5_CORPUS),
        *(PARTIAL_SPOOF, LLAMA_PARTIAL_SPOOF, HAD, ADD_2023_TRACK_2),
        *(IN_THE_WILD, FAKE_OR_REAL, WAVE_FAKE, DEEP_VOICE, MLAAD),
        *(FAKE_AV_CELEB, LAV_DF, AV_DEEPFAKE_1M),
        *(FOLDERS, TABLE),
    )
}
"""Every data set that can be read, by name."""


def read_corpus(name: str, folder: str | os.PathLike[str], *, partial: bool = False) -> Reading:
    """Read a known data set from its own folder, and check that it is whole.

    Parameters
    ----------
    name
        One of `CORPORA`.
    folder
        Its folder, or one around it; paths of clips are relative to it.
    partial
        Take the clips that are there, and say in a note how many are missing.

    Raises
    ------
    UsageError
        For a name that is not known.
    ManifestError
        As `audio.corpora.corpus.read_folder`.
    """
    return read_folder(corpus_named(name), folder, partial=partial)


def corpus_named(name: str) -> Corpus:
    """Return the data set of that name; raise `UsageError` for one that is not known."""
    if name not in CORPORA:
        raise UsageError(f"data set: expected one of {', '.join(CORPORA)}, received {name!r}")
    return CORPORA[name]
