"""Recipe files: what they may say, and how mistakes in them are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audio.errors import UsageError
from synth.engines.command import CommandEngine
from synth.order import Order, order_from, read_order

WRITTEN = """
clips = 12
seed = 4
real = "my recordings"
noise = "/noise"
engines = ["lpc"]
held_out = []
engine_commands = ["mytts --text {text} --out {wav}"]
span_s = [0.2, 2]
channel = false
channel_share = 0.5
turns = { lpc = 3 }
"""


def test_a_recipe_file_makes_an_order(tmp_path: Path) -> None:
    """Catches folders that depend on where the command is given, and entries that are not used."""
    (tmp_path / "recipe.toml").write_text(WRITTEN)
    order = order_from(read_order(tmp_path / "recipe.toml"))
    assert order.folders.real == tmp_path / "my recordings"
    assert order.folders.noise == Path("/noise")
    assert order.folders.fake is None
    recipe = order.recipe
    assert (recipe.n_clips, recipe.seed, recipe.engines, recipe.held_out) == (12, 4, ("lpc",), ())
    assert (recipe.channel_share, recipe.turns) == (0.5, (("lpc", 3),))
    assert (recipe.span_s, recipe.channel, recipe.max_spans) == ((0.2, 2), False, 6)
    assert recipe.commands == (CommandEngine("mytts", ("mytts", "--text", "{text}", "--out", "{wav}")),)
    assert Order.from_json(json.loads(json.dumps(order.to_json()))) == order


def test_without_recordings_the_prompts_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.prompts.fetch_prompts", lambda folder: folder / "fetched")
    assert order_from({"clips": 3}).folders.real == Path("data", "voices", "fetched")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("clips = ", "expected TOML"),
        ('clips = "many"', "clips: expected int, received 'many'"),
        ("clips = true", "clips: expected int, received True"),
        ("channel = 1", "channel: expected bool, received 1"),
        ('engines = "lpc"', "engines: expected a list of texts"),
        ("span_s = [1, 2, 3]", "span_s: expected two numbers"),
        ('span_s = ["a", "b"]', "span_s: expected two numbers"),
        ("colour = 1", "colour: expected one of clips, seed"),
    ],
)
def test_mistakes_are_one_line_with_file_and_entry(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(line)
    with pytest.raises(UsageError) as caught:
        read_order(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_missing_file_and_missing_number(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_order(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="clips: expected a number of clips"):
        order_from({"real": tmp_path})
    with pytest.raises(UsageError, match="order: expected a recipe and folders"):
        Order.from_json({})
