from __future__ import annotations

import numpy as np
import pytest

from synth.outliers import LEAST_CLIPS, fences, outliers
from synth.quality import Measures


def clip(
    pitch_hz: float | None = 120.0, *, level: float = -23.0, centroid: float = 700.0, flat: float = -12.0
) -> Measures:
    return Measures(32_000, 1.5, level, 17.0, 0.0, 0.0, pitch_hz, centroid, flat)


def voice(name: str, pitch_hz: float, n: int) -> dict[str, Measures]:
    """N clips of a speaker whose pitch moves a little from one to the next."""
    return {f"{name}/{k}": clip(pitch_hz * (1 + 0.01 * (k % 5))) for k in range(n)}


def found(clips: dict[str, Measures]) -> dict[str, str]:
    speakers = {name: name.split("/")[0] for name in clips}
    return {name: finding.rule for name, finding in outliers(clips, speakers).items()}


def test_fences_by_hand() -> None:
    """Tukey's rule on eleven numbers: quartiles 3.5 and 8.5, fences 7.5 beyond."""
    assert fences(list(range(1, 12)), 0.0) == (-4.0, 16.0)
    assert fences([5.0] * 20, 2.0) == (3.0, 7.0)


def test_fences_against_brute_force() -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).standard_normal(41)
        low, high = np.sort(values)[[10, 30]]
        assert fences(values.tolist(), 0.0) == pytest.approx((low - 1.5 * (high - low), high + 1.5 * (high - low)))


@pytest.mark.parametrize(
    ("odd", "rule"),
    [
        (clip(240.0), "pitch_hz"),
        (clip(50.0), "pitch_hz"),
        (clip(level=-45.0), "level_dbfs"),
        (clip(centroid=2_500.0), "centroid_hz"),
        (clip(flat=-1.0), "flatness_db"),
    ],
)
def test_each_trait_can_stand_out(odd: Measures, rule: str) -> None:
    assert found({**voice("ann", 120.0, 20), "ann/odd": odd}) == {"ann/odd": rule}


def test_a_man_among_women_is_no_outlier() -> None:
    """Catches fences over the whole set where pitch tells people apart, for speakers with few and with many clips."""
    women = {name: value for k in range(12) for name, value in voice(f"w{k}", 200.0 + 2 * k, 14).items()}
    assert found({**women, **voice("few", 95.0, 3)}) == {}
    assert found({**women, **voice("many", 90.0, 14)}) == {}


def test_but_his_own_squeak_is_one() -> None:
    women = {name: value for k in range(6) for name, value in voice(f"w{k}", 200.0, 14).items()}
    man = {**voice("man", 100.0, 14), "man/squeak": clip(200.0)}
    assert found({**women, **man}) == {"man/squeak": "pitch_hz"}


def test_one_long_recording_does_not_outvote_the_others() -> None:
    """Catches speakers weighted by how much they said: most of these speak at -30 dBFS, most clips lie at -20."""
    talker = {f"talker/{k}": clip(level=-20.0 + 0.1 * (k % 3)) for k in range(200)}
    others = {f"s{s}/{k}": clip(level=-30.0 - 0.3 * s) for s in range(9) for k in range(3)}
    assert found({**talker, **others}) == {}


def test_few_clips_are_no_evidence() -> None:
    assert found({**voice("ann", 120.0, LEAST_CLIPS - 2), "ann/odd": clip(300.0)}) == {}


def test_alike_clips_have_fences_too() -> None:
    """Catches fences of no width, by which recordings of one level reject each other for a tenth of a dB."""
    clips = {f"ann/{k}": clip(level=-23.0) for k in range(30)} | {"ann/odd": clip(level=-23.5)}
    assert found(clips) == {}


def test_no_pitch_is_no_outlier() -> None:
    assert found({**voice("ann", 120.0, 20), "ann/whisper": clip(None)}) == {}


def test_the_share_of_good_clips_lost() -> None:
    """Of Gaussian values 0.7 % lie beyond Tukey's fences; with small groups and four traits at most a few percent."""
    rng = np.random.default_rng(1)
    draw = rng.standard_normal((2_000, 4))
    clips = {
        f"s{k % 50}/{k}": clip(120 * 2 ** (0.2 * a), level=-23 + 4 * b, centroid=700 * 2 ** (0.4 * c), flat=-12 + 4 * d)
        for k, (a, b, c, d) in enumerate(draw)
    }
    assert 0.005 < len(found(clips)) / 2_000 < 0.06
