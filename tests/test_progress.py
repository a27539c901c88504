"""What `fit` shows on a terminal: a pseudo-terminal of a given size reads it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

PROGRAM = """
import hypernet as hn
import numpy as np

model = hn.Sequential([hn.Input((2,)), hn.layers.Dense(1, kernel_initializer="zeros")])
model.compile(optimizer=hn.optimizers.SGD(0.0), loss="mse", metrics=["mae"])
x, y = np.ones((32, 2)), np.full((32, 1), 2.0)
model.fit(x, y, epochs=2, validation_split=0.5)
model.evaluate(x, y)
"""


def shown(columns, program=PROGRAM):
    """The lines that are left on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    with subprocess.Popen([sys.executable, "-c", program], stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the end, on Linux
                break
            if not piece:
                break
            text += piece
    os.close(ours)
    assert process.returncode == 0, text.decode()
    lines = text.decode().replace("\r\n", "\n").split("\n")
    return [line.rstrip().rpartition("\r")[2] for line in lines if line.strip()]


EPOCH = "loss=4.0000, mae=2.0000, val_loss=4.0000, val_mae=2.0000"


@pytest.mark.parametrize("columns", [0, 40, 80, 200])
def test_every_metric_is_seen_on_every_terminal(columns):
    lines = shown(columns)
    text = "\n".join(lines)
    for epoch in ("Epoch 1/2", "Epoch 2/2"):
        assert sum(line.startswith(epoch) and "1/1" in line for line in lines) == 1, text
    assert text.count(EPOCH) == 2, text
    assert text.count("loss=4.0000, mae=2.0000") == 3, text
    assert all(len(line) <= (columns or 80) for line in lines if "1/1" in line), text


def test_a_wide_terminal_shows_bar_speed_and_metrics_in_one_line():
    lines = shown(200)
    assert len(lines) == 3
    assert re.fullmatch(r"Epoch 1/2: 100%\|█+\| 1/1 \[.*step/s?, " + EPOCH + r"\]", lines[0]), lines[0]


def test_speed_gives_way_to_metrics():
    last = shown(64)[-1]
    assert re.fullmatch(r"100%\|█+\| 1/1 \[[0-9:]+, loss=4\.0000, mae=2\.0000\]", last), last


def test_the_demonstration_speaks_before_its_bar(tmp_path):
    lines = shown(
        80,
        "from hypernet.demo import command, comparison\n"
        "def compare(seed, settings, trainings):\n"
        "    trainings.begin('one')\n"
        "    raise OSError('as far as here')\n"
        "comparison.compare = compare\n"
        f"assert command.main(['--output', {str(tmp_path)!r}]) == 1\n",
    )
    assert lines[0].startswith("Handwritten digits"), lines
    assert lines[-1] == "Cannot write or read: as far as here", lines
