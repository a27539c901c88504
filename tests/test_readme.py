"""The README's Python examples run as written, one after the other, and their `# value` comments are true."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHAPE_COMMENT = re.compile(r"^(?P<code>[^#\n]+\.shape)\s+# (?P<shape>\([\d, ]+\))", re.MULTILINE)


def test_examples_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(README.read_text())
    assert len(blocks) >= 7
    names: dict[str, object] = {}
    checked = 0
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
        for found in SHAPE_COMMENT.finditer(block):
            assert eval(found["code"], names) == eval(found["shape"]), found["code"]
            checked += 1
    assert checked == 4
    assert (tmp_path / "specialised.safetensors").stat().st_size < (tmp_path / "hyper.safetensors").stat().st_size / 10


def test_base_starts_at_the_targets_weights(tmp_path, monkeypatch):
    """What the README says of `base="target"` before training."""
    import hypernet as hn
    import numpy as np

    target = hn.target_network(6, 3)
    generator = hn.hypernetwork(4, target.count_params())
    hyper = hn.HyperModel(generator, target, base="target")
    assert np.array_equal(hyper.generate(np.ones((1, 4)))[0], target.params)


def test_no_placeholder_is_left():
    assert re.findall(r"^[A-Z_]{6,}$", README.read_text(), re.MULTILINE) == []


def test_the_tests_own_readme_names_every_file() -> None:
    """No test file is missing in its table of floors, and none that is named there is gone."""
    folder = Path(__file__).parent
    text = (folder / "README.md").read_text()
    table = text[text.index("| floor | tests |") : text.index("## What is tried")]
    named = set(re.findall(r"`(test_\w+\*?)`", table))
    files = {path.stem for path in folder.glob("test_*.py")}
    assert {name for name in files if not any(fnmatch.fnmatch(name, pattern) for pattern in named)} == set()
    assert {pattern for pattern in named if not fnmatch.filter(files, pattern)} == set()
