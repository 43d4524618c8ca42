"""The arrows of the house, proved from the source: imports run downwards only.

Floors: audio 0; synth and model 1, strangers to each other; apps 2; the two commands 3; bench 4. An import
counts wherever it stands: at the top, in a function, or under `if TYPE_CHECKING`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = {"audio": 0, "synth": 1, "model": 1, "apps": 2, "script": 3, "train_cnnrnnlstm": 3, "bench": 4}

FRAMEWORKS = {"tensorflow", "keras", "tf2onnx", "onnxruntime", "onnx", "torch", "jax", "sklearn", "xgboost"}
"""None of them on the ground floor."""

HEAVY = {"scipy", "librosa", "pydub", "matplotlib", "pandas"}
"""Too slow to import for judging a clip."""

TRAINING_ONLY = {"tensorflow", "keras", "tf2onnx"}
"""Allowed in model/networks and model/training and nowhere else."""

Import = tuple[Path, int, str]


def sources() -> list[Path]:
    rooms = [path for room in FLOORS for path in sorted((ROOT / room).rglob("*.py"))]
    return rooms + [path for room in FLOORS if (path := ROOT / f"{room}.py").exists()]


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute dotted module) of every import, also of importlib.import_module(...).

    What a computed name can be is taken from the dotted names that the file writes out as text.
    """
    package = path.relative_to(ROOT).parent.parts
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from model import training` names a module as well as `from model.training import fit`.
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _is_dynamic_import(node):
            computed = not isinstance(node.args[0], ast.Constant)
            names = _dotted_texts(tree) if computed else [str(ast.literal_eval(node.args[0]))]
            assert names, f"{path}:{node.lineno}: imports a computed name that is written nowhere in the file"
            yield from ((node.lineno, name) for name in names)


def _is_dynamic_import(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("import_module", "__import__") and bool(node.args)


def _dotted_texts(tree: ast.Module) -> list[str]:
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [text for text in texts if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", text)]


def imports() -> list[Import]:
    return [(path, line, module) for path in sources() for line, module in imported_modules(path)]


def told(found: list[Import]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{line} imports {module}" for path, line, module in found]


def top(module: str) -> str:
    return module.split(".")[0]


def test_there_is_something_to_look_at() -> None:
    """Catches a proof that passes because it reads no file."""
    assert {"audio", "synth", "model"} <= {room_of(path) for path in sources()}
    assert len(imports()) > 50


def test_imports_run_downwards_only() -> None:
    """Catches an arrow upwards, and synth and model meeting behind the manifest's back."""
    wrong = [
        (path, line, module)
        for path, line, module in imports()
        if top(module) in FLOORS and top(module) != room_of(path) and FLOORS[top(module)] >= FLOORS[room_of(path)]
    ]
    assert told(wrong) == []


@pytest.mark.parametrize("room", ["audio", "synth", "model"])
def test_rooms_do_not_import_tests_or_loose_scripts(room: str) -> None:
    ours = {path.stem for path in ROOT.glob("*.py")} | {"tests", "conftest"}
    wrong = [(p, n, m) for p, n, m in imports() if room_of(p) == room and top(m) in ours]
    assert told(wrong) == []


def test_audio_is_light() -> None:
    """Catches a framework, or a slow package, on the ground floor, even inside a function."""
    wrong = [(p, n, m) for p, n, m in imports() if room_of(p) == "audio" and top(m) in FRAMEWORKS | HEAVY]
    assert told(wrong) == []


def test_only_training_knows_tensorflow() -> None:
    """Catches a detector that needs 2 GB of framework to judge one clip."""
    allowed = (ROOT / "model" / "networks", ROOT / "model" / "training")
    wrong = [
        (path, line, module)
        for path, line, module in imports()
        if room_of(path) != "bench"
        and top(module) in TRAINING_ONLY
        and not any(path.is_relative_to(folder) for folder in allowed)
    ]
    assert told(wrong) == []


def test_judging_does_not_reach_tensorflow_through_its_neighbours() -> None:
    """Catches model/judging importing model/training, which would bring TensorFlow along."""
    judging = ROOT / "model" / "judging"
    wrong = [
        (path, line, module)
        for path, line, module in imports()
        if path.is_relative_to(judging) and module.startswith(("model.training", "model.networks"))
    ]
    assert told(wrong) == []


LOADED = """
import sys
import MODULE
print(*sorted(set(name.split(".")[0] for name in sys.modules)))
"""


@pytest.mark.parametrize("module", [path.stem for path in sorted((ROOT / "audio").glob("*.py"))])
def test_each_module_of_audio_loads_alone_and_light(module: str) -> None:
    """Catches import cycles, and weight that comes along with somebody else's package."""
    code = LOADED.replace("MODULE", f"audio.{module}".removesuffix(".__init__"))
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    late = {"tqdm", "imageio_ffmpeg", "fsspec", "ray"}
    assert not (FRAMEWORKS | HEAVY | late) & set(result.stdout.split())
    assert result.stderr == ""


def test_relative_and_nested_imports_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof itself, on a room that breaks every rule."""
    source = tmp_path / "model" / "judging" / "bad.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        "from ..training import fit\n"
        "from . import windows\n"
        "def f():\n    import synth.splice\n"
        "import importlib\nimportlib.import_module('keras')\n"
        "importlib.import_module({'x': 'apps.web', 'y': 'no module'}[f()])\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    found = {module for _, module in imported_modules(source)}
    assert found == {"model.training.fit", "model.judging.windows", "synth.splice", "importlib", "keras", "apps.web"}
