"""Whether maps are measured right: made ones whose figures are known, and the bench as people run it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_model import write_tiny_bundle
from tiny_set import write_tiny_set

from audio.errors import UsageError
from audio.manifest import Clip
from audio.segments import Segment
from bench.explaining import (
    BEGIN,
    END,
    MAPS,
    N_MOVES,
    Fall,
    Inside,
    Row,
    examine,
    fall_of,
    inside_of,
    known_hybrids,
    main,
    most_carrying,
    share_with_interval,
    tables,
    with_interval,
)
from model.judging.explain import Explanation

FLAT = np.full(100, 0.5, np.float32)
"""Scores that know nothing."""


def made(effects: np.ndarray, n_frames: int = 100) -> Explanation:
    return Explanation(effects.astype(np.float32), np.ones(n_frames, bool), 0, 2.0, np.linspace(0, 8_000, 17), 320)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_map_that_points_at_the_span_is_beyond_its_moves():
    effects = np.zeros((10, 16))
    effects[3:5, 7] = 1.0
    effects[8, 2] = -5.0  # what speaks for real carries nothing
    truth = (np.arange(100) >= 30) & (np.arange(100) < 50)
    found = inside_of(made(effects), truth, np.ones(100, bool), FLAT, rng())
    assert (found.share, found.area, found.scores) == pytest.approx((1.0, 0.2, 0.2))
    assert len(found.moved) == N_MOVES
    assert max(found.moved) < 0.99


def test_a_map_that_knows_nothing_has_the_share_of_the_speech():
    """Catches pauses that count as a place without attribution, and moves that change what is moved."""
    truth, speech = np.arange(100) < 30, np.arange(100) % 2 == 0
    found = inside_of(made(np.ones((10, 16))), truth, speech, FLAT, rng())
    assert found.share == pytest.approx(found.area)
    assert found.moved == pytest.approx([0.3] * N_MOVES)


@pytest.mark.parametrize(
    ("effects", "truth"),
    [
        (-np.ones((10, 16)), np.arange(100) < 30),
        (np.ones((10, 16)), np.ones(100, bool)),
        (np.ones((10, 16)), np.zeros(100, bool)),
    ],
)
def test_what_has_no_inside_or_outside_is_left_out(effects, truth):
    assert inside_of(made(effects), truth, np.ones(100, bool), FLAT, rng()) is None


def test_the_cells_that_carry_most():
    effects = np.random.default_rng(1).normal(size=(10, 16))
    covered = most_carrying(made(effects))
    assert covered.sum() == 8
    assert effects[covered].min() > effects[~covered].max()
    assert most_carrying(made(np.zeros((1, 1)), 10)).sum() == 1


def test_falls_beside_a_score_that_is_the_sum_of_its_cells():
    """Then the fall is the sum of the effects, for every choice; catches controls of another size or column."""
    effects = np.zeros((10, 16))
    effects[4] = np.arange(16)
    seen = []

    def score(covered: np.ndarray) -> float:
        seen.append(covered)
        return 2.0 - float(effects[covered].sum())

    found = fall_of(made(effects), score, rng())
    assert found.most == sum(range(8, 16))
    assert all(covered.sum() == 8 for covered in seen)
    *others, most = seen
    assert sum(np.array_equal(most.sum(axis=1), covered.sum(axis=1)) for covered in others) >= 4
    assert found.anywhere == pytest.approx(np.mean([effects[covered].sum() for covered in others[:4]]))
    assert found.same_columns == pytest.approx(np.mean([effects[covered].sum() for covered in others[4:]]))
    assert found.most > found.same_columns > found.anywhere


def test_ratios_and_their_intervals():
    assert with_interval([1.0, 3.0], [2.0, 2.0]) == "1.00 (0.50 to 1.50)"
    assert with_interval([0.3], [0.4]) == "0.75"
    assert with_interval([0.4] * 9, [0.2] * 9) == "2.00 (2.00 to 2.00)"
    assert share_with_interval([True] * 20).startswith("1.00 (0.8"), "none in twenty is not none in all"


def test_tables_of_known_rows():
    inside = Inside(0.6, (0.2,) * N_MOVES, 0.3, 0.45)
    rows = [Row(f"{k}.wav", name, k == 0, inside if k else None, Fall(0.5, 0.1, 0.2)) for k in (0, 1) for name in MAPS]
    first, with_spans, speech = [line for line in tables(rows) if " | 60.0 % | " in line or line.count(" - |") > 2]
    assert first.startswith("| as the command explains | 1 | 60.0 % | 30.0 % | 2.00 | 0.67 | 1.00 ")
    assert first.endswith("| 1.50 |")
    assert with_spans.startswith("| as the command explains, clips with spans judged fake | 0 | - |")
    assert speech.startswith("| all speech | 1 |")
    falls = [line for line in tables(rows) if "| 0.50 " in line]
    assert [line.split(" | ")[1:5] for line in falls] == [
        ["2", "0.50 (0.50 to 0.50)", "0.10 (0.10 to 0.10)", "0.20 (0.20 to 0.20)"]
    ] * 2


def test_hybrids_are_spread_over_the_set():
    span = (Segment(0, 100),)
    clips = [Clip(f"{i}.wav", "hybrid" if i % 2 else "real", span if i % 2 else (), 200) for i in range(20)]
    assert [clip.path for clip in known_hybrids(clips, 5)] == ["1.wav", "5.wav", "9.wav", "13.wav", "17.wav"]
    assert len(known_hybrids(clips, 60)) == 10
    with pytest.raises(UsageError, match="--clips: expected 1 or more hybrids with known spans, received 0"):
        known_hybrids([Clip("a.wav", "hybrid")], 5)


# The command.


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("explaining") / "mine")


def test_a_network_that_finds_the_spans_has_maps_that_point_at_them(place, tiny_bundle):
    from audio.manifest import read_set

    manifest, clips = read_set(place)
    rows = examine(manifest, [clip for clip in clips if clip.label == "hybrid"][:3], model=tiny_bundle)
    assert len(rows) == 6
    assert [row.map for row in rows[:2]] == list(MAPS)
    assert all(row.has_spans for row in rows)
    assert all(row.inside.share > 0.8 > 0.4 > row.inside.area for row in rows), "a cell may reach beyond the span"
    assert all(row.fall.most > 0.5 > max(row.fall.same_columns, row.fall.anywhere) for row in rows)


def test_the_command(place, tiny_bundle, tmp_path, capsys):
    """Catches tables that differ from run to run, and text around the marks that is lost."""
    document = tmp_path / "explaining.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    words = ["--set", str(place), "--model", str(tiny_bundle), "--write", str(document)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "2 hybrids of the split dev of `mine`, 2 of them judged; model `tiny`;" in said
    assert str(place) not in said
    once = document.read_text()
    assert said.strip() in once
    assert "old" not in once
    assert (once.startswith("before\n"), once.endswith("after\n")) == (True, True)
    assert main(words) == 0
    assert document.read_text() == once


def test_a_network_that_hears_nothing_has_empty_tables(place, tmp_path, capsys):
    bundle = write_tiny_bundle(tmp_path / "deaf", weights=np.zeros(32))
    assert main(["--set", str(place), "--model", str(bundle)]) == 0
    assert "| all speech | 0 | - | - | - | - | - | - |" in capsys.readouterr().out


def test_wrong_usage_is_one_line(place, tiny_bundle, tmp_path, capsys, caplog):
    words = ["--set", str(place), "--model", str(tiny_bundle)]
    assert main([*words, "--clips", "0"]) == 2
    assert main([*words, "--split", "none"]) == 2
    assert main(["--set", str(tmp_path / "nowhere"), "--model", str(tiny_bundle)]) in (1, 2)
    (tmp_path / "plain.md").write_text("no marks")
    assert main([*words, "--write", str(tmp_path / "plain.md")]) == 1
    assert [record.message.count("\n") for record in caplog.records] == [0] * 4
