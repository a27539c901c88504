"""Saving that fails or is killed: the file is the old one or the new one in whole, and nothing else is left behind."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import hypernet as hn
import numpy as np
import pytest

LEFTOVER = re.compile(r"\.hypernet-\d+-\d+\.tmp")  # as hypernet_c/base/file.h documents it
KILLS = 500
PART = 50  # kills a process

# Forks children that save again and again, the weights all of the next number, and kills each at a random moment.
KILLER = """
import os, random, signal, sys, time
import numpy as np
import hypernet as hn

path, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
model = hn.target_network(200, 100, hidden=300)
model.compile("adam", "mse")
model.train_on_batch(np.ones((1, 200)), np.ones((1, 100)))

def fill(number):
    model.params[...] = number
    model.save(path)

fill(0)
last = saves = 0
for _ in range(kills):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        number = last
        while True:
            number += 1
            fill(number)
            os.write(write, b"x")
    os.close(write)
    os.read(read, 1)  # the first save of this child is done
    os.set_blocking(read, False)
    time.sleep(rng.random() * 0.03)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        announced = last + 1 + len(os.read(read, 1 << 16))
    except BlockingIOError:
        announced = last + 1
    os.close(read)
    found = np.unique(hn.saving.load_model(path).params)
    assert found.size == 1, found  # whole
    number = int(found[0])
    assert announced <= number <= announced + 1, (announced, number)  # the last that was finished, or the next
    saves += number - last
    last = number
print(kills, saves)
"""


def unnamed_files(folder: Path) -> bool:
    """Whether a killed process leaves nothing of a file that it writes in this folder."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
    except (AttributeError, OSError):
        return False
    return Path("/proc/self/fd").is_dir()


def kill_saves(folder: Path, kills: int, seed: int) -> tuple[int, int]:
    """(saves that came to their end, leftovers); every leftover has the documented name."""
    path = folder / "model.safetensors"
    done = subprocess.run([sys.executable, "-c", KILLER, path, str(kills), str(seed)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    killed, saves = map(int, done.stdout.split())
    assert killed == kills
    others = [name for name in os.listdir(folder) if name != path.name]
    assert all(LEFTOVER.fullmatch(name) for name in others), others
    return saves, len(others)


def test_a_killed_save_leaves_a_whole_file(tmp_path: Path) -> None:
    """The quick share of the next test."""
    kill_saves(tmp_path, 10, 0)


@pytest.mark.slow
@pytest.mark.gate
def test_saves_killed_at_random_moments_leave_a_whole_file(tmp_path: Path, evidence) -> None:
    """After each kill the file loads and is the last that was saved, or the one being saved; where files without names
    are to be had (Linux), killed saves leave nothing: but for the moment between naming and renaming."""
    saves = leftovers = 0
    for part in range(KILLS // PART):
        folder = tmp_path / str(part)
        folder.mkdir()
        more = kill_saves(folder, PART, part)
        saves, leftovers = saves + more[0], leftovers + more[1]
        shutil.rmtree(folder)
    bound = KILLS // 50 if unnamed_files(tmp_path) else KILLS
    evidence(
        "saves killed at random moments leave a whole file",
        **{"tried": KILLS, "required": KILLS, "worst": leftovers, "bound": bound, "unit": "leftovers"},
        saves=saves,
    )


# ---- errors ----
def model_of(number: float) -> hn.Model:
    model = hn.target_network(64, 10)
    model.params[...] = number
    return model


def expect_intact(path: Path, number: float) -> None:
    """The old file is there, and no temporary one."""
    assert (hn.saving.load_model(path).params == number).all()
    assert [name for name in os.listdir(path.parent) if LEFTOVER.fullmatch(name)] == []


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    model_of(1).save(path)
    return path


@pytest.mark.parametrize("method", ["save", "save_weights"])
def test_a_file_that_grows_too_large(method: str, saved: Path) -> None:
    """The system's limit stands for a full disk: an OSError that names the file; the old file is intact."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = saved.stat().st_size
    try:
        for limit in (0, 1, 100, size // 2, size - 1000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            try:
                with pytest.raises(OSError, match=re.escape(str(saved))):
                    getattr(model_of(2), method)(saved)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            expect_intact(saved, 1)
    finally:
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"a file system may not be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk: Path, evidence) -> None:
    """The second file does not fit beside the first: an OSError that names it; the old one is intact and the room free."""
    path = small_disk / "model.safetensors"
    model_of(1).save(path)
    free = shutil.disk_usage(small_disk).free
    assert free < path.stat().st_size
    tries = 20
    for _ in range(tries):
        with pytest.raises(OSError, match=re.escape(str(path))):
            model_of(2).save(path)
        expect_intact(path, 1)
        assert shutil.disk_usage(small_disk).free == free
    evidence("saves on a full disk leave the old file", tried=tries, required=20)


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.mkdir()
    for action in (model_of(1).save, model_of(1).save_weights, model_of(1).load_weights, hn.saving.load_model):
        with pytest.raises(OSError, match=re.escape(str(path))):
            action(path)
    assert os.listdir(tmp_path) == [path.name] and os.listdir(path) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none" / "model.safetensors"
    with pytest.raises(OSError, match=re.escape(str(path))):
        model_of(1).save(path)
    assert os.listdir(tmp_path) == []


def test_a_file_that_vanished_is_written_anew(saved: Path) -> None:
    saved.unlink()
    with pytest.raises(OSError, match=re.escape(str(saved))):
        hn.saving.load_model(saved)
    model_of(3).save(saved)
    expect_intact(saved, 3)


READ_ONLY = """
import os, sys
import hypernet as hn
model = hn.target_network(64, 10)
model.save(sys.argv[2])  # imports what saving needs, which another user may not be able to read
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    model.save(sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_written(what: str, tmp_path: Path) -> None:
    """By a user who is not the administrator: the folder, or the file alone."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.safetensors"
        model_of(1).save(path)
        path.chmod(0o444)
        path.parent.chmod(0o555 if what == "folder" else 0o777)
        other = tmp_path / "other.safetensors"
        done = subprocess.run([sys.executable, "-c", READ_ONLY, path, other], capture_output=True, text=True)
        path.parent.chmod(0o700)
        assert done.returncode == 0, done.stderr
        assert str(path) in done.stdout
        expect_intact(path, 1)


def test_a_symbolic_link_is_followed(saved: Path, tmp_path: Path) -> None:
    """As `open` does: the file that it points to is replaced, and the link stays; so for a link to a link."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    links = [folder / "first.safetensors", folder / "second.safetensors"]
    links[0].symlink_to(saved)
    links[1].symlink_to(links[0].name)
    for number, link in enumerate(links, 2):
        model_of(number).save(link)
        assert link.is_symlink()
        expect_intact(saved, number)
        assert (hn.saving.load_model(link).params == number).all()
    assert sorted(os.listdir(folder)) == [link.name for link in links]


def test_a_symbolic_link_to_nothing_becomes_a_file(tmp_path: Path) -> None:
    """There is no file to keep whole; the link itself is replaced."""
    link = tmp_path / "link.safetensors"
    link.symlink_to("nowhere.safetensors")
    model_of(2).save(link)
    assert not link.is_symlink()
    expect_intact(link, 2)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_ordinary_file(kind: str, tmp_path: Path) -> None:
    """A named pipe is not waited for, a device not written to: both are refused at once."""
    path = tmp_path / "model.safetensors"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/full")
    started = time.monotonic()
    for action in (model_of(1).save, hn.saving.load_model):
        with pytest.raises(OSError, match="not a regular file"):
            action(path)
    assert time.monotonic() - started < 5
    assert os.listdir(tmp_path) == [path.name]


def test_many_saves_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    """Threads that save different models over one file, while another loads it."""
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "model.safetensors"
    model_of(0).save(path)
    rng = random.Random(0)

    def work(number: int) -> bool:
        if rng.random() < 0.5:
            model_of(number).save(path)
        return np.unique(hn.saving.load_model(path).params).size == 1

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(60)))
    assert os.listdir(tmp_path) == [path.name]
