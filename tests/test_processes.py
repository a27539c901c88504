"""Processes: forks in the midst of work, pools of processes, exits during computations, imports in threads.

Everything runs in processes of its own with a time limit: a hang or a crash is a failure of that test alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from c_build import checked, program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

BEGINNING = """
import json, os, signal, sys, threading, time
import numpy as np
import hypernet as hn

hn.set_num_threads(3)

def small(seed):
    hn.utils.set_random_seed(seed)
    target = hn.Sequential([hn.Input((20,)), hn.layers.Dense(64, activation="tanh"), hn.layers.Dense(3)])
    hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params(), hidden=16), target)
    hyper.compile("adam", "mean_squared_error")
    return hyper

def busy(seconds):
    "A model and rows that keep all threads of the pool at work for about so long."
    hn.utils.set_random_seed(1)
    model = hn.Sequential([hn.Input((64,)), *[hn.layers.Dense(2048, activation="tanh") for _ in range(3)]])
    rows = np.random.default_rng(0).standard_normal((512, 64), dtype=np.float32)
    model(rows)
    began = time.perf_counter()
    model(rows)
    return model, np.tile(rows, (int(seconds / (time.perf_counter() - began)) + 1, 1))

RNG = np.random.default_rng(0)
COND, X = RNG.standard_normal((600, 4), dtype=np.float32), RNG.standard_normal((600, 20), dtype=np.float32)
Y = np.zeros((600, 3), np.float32)
"""


def run(script: str, folder: Path, *arguments: Any, timeout: float = 300.0) -> Any:
    """What a script says in its last line; a file of its own, which processes can import."""
    path = folder / "script.py"
    path.write_text(BEGINNING + textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, str(path), *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stdout[-1000:]}{done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])


# A child that hangs is ended by its alarm: its exit code is then -SIGALRM.
FORKS = """
tries = int(sys.argv[1])
still, trained, stop = small(1), small(2), threading.Event()
expected = still.predict([COND, X], verbose=0)
wrong = []

def predict():
    while not stop.is_set():
        if not np.array_equal(still.predict([COND, X], verbose=0), expected):
            wrong.append("a parent's prediction")

def train():
    while not stop.is_set():
        trained.train_on_batch([COND, X], Y)

def child():
    signal.alarm(60)
    if not np.array_equal(still.predict([COND, X], verbose=0), expected):
        return 1
    trained.train_on_batch([COND, X], Y)
    value, pullback = still.vjp(COND, X)
    return 0 if np.isfinite(pullback(np.ones_like(value)).params).all() else 2

threads = [threading.Thread(target=work) for work in (predict, train, predict)]
for thread in threads:
    thread.start()
codes = {}
for attempt in range(tries):
    number = os.fork()
    if number == 0:
        code = 3
        try:
            code = child()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    codes[code] = codes.get(code, 0) + 1
stop.set()
for thread in threads:
    thread.join()
print(json.dumps([codes, wrong]))
"""


def count_forks(tries: int, folder: Path, evidence: Any) -> None:
    codes, wrong = run(FORKS, folder, tries, timeout=60 + tries)
    assert not wrong and codes == {"0": tries}
    evidence("children of forks while three threads predict and train compute on", tried=codes["0"], required=tries)


def test_forks_in_the_midst_of_work(tmp_path: Path, evidence: Any) -> None:
    """Threads hold the pool and the locks of models when the process is forked; the child predicts the same bits,
    trains and differentiates."""
    count_forks(30, tmp_path, evidence)


@pytest.mark.slow
@pytest.mark.gate
def test_a_thousand_forks_in_the_midst_of_work(tmp_path: Path, evidence: Any) -> None:
    """The same, 1,000 times."""
    count_forks(1000, tmp_path, evidence)


FORKS_IN_HANDLERS = """
tries = int(sys.argv[1])
model, x = busy(0.15)
trained = small(2)
expected, children, inside = model(x), [], []

def handler(number, frame):
    children.append(os.fork())
    if children[-1] == 0:
        signal.alarm(60)
        small(3).train_on_batch([COND, X], Y)  # uses the pool, inside the call that is interrupted

def child(result, error):
    "0: the interrupted call said so, and the next one is right."
    if result is not None:  # forked between two calls, or before the pool began
        return 0 if np.array_equal(result, expected) else 1
    if not isinstance(error, RuntimeError) or "forked" not in str(error):
        return 2
    if not np.array_equal(model(x), expected):
        return 3
    trained.train_on_batch([COND, X], Y)
    return 9

codes, wrong = {}, 0
signal.signal(signal.SIGALRM, handler)
for attempt in range(tries):
    result = error = None
    signal.setitimer(signal.ITIMER_REAL, 0.02 + 0.003 * (attempt % 20))
    try:
        result = model(x)
    except BaseException as raised:
        error = raised
    if children and children[-1] == 0:
        code = 4
        try:
            code = child(result, error)
        finally:
            os._exit(code)
    signal.setitimer(signal.ITIMER_REAL, 0)
    wrong += result is None or not np.array_equal(result, expected)
    while children:
        code = os.waitstatus_to_exitcode(os.waitpid(children.pop(), 0)[1])
        codes[code] = codes.get(code, 0) + 1
print(json.dumps([codes, wrong]))
"""


def count_forks_in_handlers(tries: int, folder: Path, evidence: Any) -> None:
    codes, wrong = run(FORKS_IN_HANDLERS, folder, tries, timeout=60 + 3 * tries)
    assert wrong == 0 and set(codes) <= {"0", "9"}, codes
    claim = "children of a signal handler's fork inside a pooled call get RuntimeError, and compute on"
    evidence(claim, tried=codes.get("9", 0), required=tries // 2)


@pytest.mark.slow
@pytest.mark.gate
def test_forks_of_signal_handlers_inside_a_call(tmp_path: Path, evidence: Any) -> None:
    """What the threads of the pool had begun is lost in the child: its call ends with RuntimeError, not with numbers
    that nobody computed; the parent's goes on."""
    count_forks_in_handlers(6, tmp_path, evidence)


@pytest.mark.slow
@pytest.mark.gate
def test_many_forks_of_signal_handlers_inside_a_call(tmp_path: Path, evidence: Any) -> None:
    """The same, 100 times."""
    count_forks_in_handlers(100, tmp_path, evidence)


def test_a_file_that_is_written_during_a_fork_is_the_parents(tmp_path: Path) -> None:
    """A signal handler forks in the midst of a save, where temporary files have names: the child, whose save ends with
    an error, does not remove the file that its parent writes on."""
    assert checked(program("tests/c/forked_writer.c", tmp_path), tmp_path) == 1


def test_the_child_of_a_threads_fork_can_be_interrupted(tmp_path: Path) -> None:
    """The thread that forked is the child's main thread: signal handlers run inside its long calls."""
    script = """
    model, x = busy(1.0)
    codes = []

    def handler(number, frame):
        raise InterruptedError

    def work():
        number = os.fork()
        if number == 0:
            code = 1
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
                for _ in range(20):
                    model(x)
            except InterruptedError:
                code = 0
            finally:
                os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]))

    signal.signal(signal.SIGALRM, handler)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    print(json.dumps(codes))
    """
    assert run(script, tmp_path) == [0]


def test_what_a_thread_holds_is_free_in_the_child_of_a_fork(tmp_path: Path) -> None:
    """The locks under which models are joined and numbers drawn, held by another thread at the time of the fork; and
    the first training step may have been under way there."""
    script = """
    from hypernet import _random, _weights

    untrained = small(5)
    layers = [hn.layers.Dense(2), hn.layers.Dense(2)]
    held, done = threading.Event(), threading.Event()
    hn.utils.set_random_seed(7)
    first = [hn.initializers.GlorotUniform()((3, 3)) for _ in range(2)][1]
    hn.utils.set_random_seed(7)
    hn.initializers.GlorotUniform()((3, 3))

    def work():
        with _random._lock, _random._generator.bit_generator.lock, _weights._joining:
            held.set()
            done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    held.wait()
    number = os.fork()
    if number == 0:
        signal.alarm(30)
        code = 1
        try:
            same = np.array_equal(hn.initializers.GlorotUniform()((3, 3)), first)
            inputs = hn.Input((2,))
            joined = hn.Model(inputs, layers[1](layers[0](inputs)))
            joined(np.ones((3, 2), np.float32))
            hn.utils.set_random_seed(8)
            untrained.train_on_batch([COND, X], Y)
            code = 0 if same else 2
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    done.set()
    thread.join()
    print(json.dumps(code))
    """
    assert run(script, tmp_path) == 0


# ---- pools of processes ----
POOLS = """
import multiprocessing

def predicted(model, x):
    return model.predict(x, verbose=0)

def inherited(index):
    return model.predict([COND[index::8], X[index::8]], verbose=0)

def trained(model):
    model.train_on_batch([COND, X], Y)
    return model

model = small(1)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    parts = [[COND[i::8], X[i::8]] for i in range(8)]
    expected = [model.predict(part, verbose=0) for part in parts]
    twin = trained(small(1))
    with context.Pool(2) as pool:
        given = pool.starmap(predicted, [(model, part) for part in parts])
        found = pool.map(inherited, range(8))
        back = pool.map(trained, [model] * 2)
    same = [a.tobytes() == b.tobytes() for a, b in zip(expected + expected, given + found)]
    same += [one.params.tobytes() == twin.params.tobytes() for one in back]
    print(json.dumps(same))
"""


@pytest.mark.parametrize(
    "method",
    ["fork", *[pytest.param(m, marks=[pytest.mark.slow, pytest.mark.gate]) for m in ("forkserver", "spawn")]],
)
def test_pools_of_processes(method: str, tmp_path: Path, evidence: Any) -> None:
    """Models that are handed over (pickled), inherited or made again predict the same bits; trained ones come back."""
    same = run(POOLS, tmp_path, method)
    assert same == [True] * 18
    evidence(f"results from a pool of processes ({method}) have the same bits", tried=len(same), required=18)


# ---- exits ----
# The stack of a thread is deep, so that its end gives memory back that its call works on; and the end of the process
# takes its time.
EXITS = """
tries, way, what = int(sys.argv[1]), sys.argv[2], sys.argv[3]
hn.utils.set_random_seed(1)
wide = hn.Sequential([hn.Input((64,)), *[hn.layers.Dense(3000, activation="tanh") for _ in range(2)]])
wide.compile("sgd", "mean_squared_error")
wide(np.zeros((1, 64), np.float32))
hyper = small(1)
x, y = np.zeros((20_000, 64), np.float32), np.zeros((256, 3000), np.float32)
calls = {
    "predict": lambda: wide(x),
    "train": lambda: wide.train_on_batch(x[:256], y),
    "hyper": lambda: hyper.predict([np.tile(COND, (500, 1)), np.tile(X, (500, 1))], batch_size=300_000, verbose=0),
}

def deep(depth):
    if depth:
        list(map(deep, [depth - 1]))
    while True:
        calls[what]()

def leave(attempt):
    signal.alarm(60)
    ballast.extend([] for _ in range(500_000))
    for _ in range(1 + attempt % 2):
        threading.Thread(target=deep, args=(60,), daemon=True).start()
    time.sleep(0.05 + 0.01 * (attempt % 10))
    if way == "os._exit":
        os._exit(7)
    if way == "sys.exit":
        sys.exit(7)
    if way == "error":
        sys.stderr = None
        raise ValueError("the end")

ballast, codes = [], {}
for attempt in range(tries):
    number = os.fork()
    if number == 0:
        leave(attempt)
        break  # the end of the script
    code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    codes[code] = codes.get(code, 0) + 1
else:
    print(json.dumps(codes))
"""
CODES = {"sys.exit": "7", "os._exit": "7", "end": "0", "error": "1"}


def count_exits(tries: int, way: str, what: str, folder: Path, evidence: Any) -> None:
    codes = run(EXITS, folder, tries, way, what, timeout=60 + 5 * tries)
    assert codes == {CODES[way]: tries}
    claim = f"processes end ({way}) while daemon threads compute ({what}), with the right exit code"
    evidence(claim, tried=codes[CODES[way]], required=tries)


@pytest.mark.slow
@pytest.mark.gate
def test_exit_during_a_computation(tmp_path: Path, evidence: Any) -> None:
    """The interpreter shuts down while threads compute in the pool: no crash, no hang, the exit code that was asked."""
    count_exits(3, "sys.exit", "predict", tmp_path, evidence)


@pytest.mark.slow
def test_a_hundred_exits_during_a_computation(tmp_path: Path, evidence: Any) -> None:
    """The same, 100 times."""
    count_exits(100, "sys.exit", "predict", tmp_path, evidence)


@pytest.mark.slow
@pytest.mark.parametrize("way", list(CODES))
@pytest.mark.parametrize("what", ["predict", "train", "hyper"])
def test_every_way_of_exit_during_every_computation(way: str, what: str, tmp_path: Path, evidence: Any) -> None:
    """Each way, in each kind of call, 30 times."""
    count_exits(30, way, what, tmp_path, evidence)


# ---- imports ----
IMPORTS = """
import json, signal, sys, threading, time

def work():
    start.wait()
    import hypernet
    found.append(hypernet.set_num_threads(2))

count, found = int(sys.argv[1]), []
start = threading.Barrier(count)
threads = [threading.Thread(target=work) for _ in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

import numpy as np
import hypernet as hn

class Enough(Exception):
    pass

def handler(number, frame):
    raise Enough

model = hn.Sequential([hn.Input((64,)), *[hn.layers.Dense(1024, activation="tanh") for _ in range(4)]])
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.1)
interrupted = False
try:
    model(np.zeros((200_000, 64), np.float32))
except Enough:
    interrupted = True
print(json.dumps([len(found), interrupted]))
"""


@pytest.mark.parametrize("count", [1, 8])
def test_import_in_threads(count: int, tmp_path: Path, evidence: Any) -> None:
    """One or eight threads import the package at once, and the main thread's calls can be interrupted afterwards."""
    path = tmp_path / "imports.py"
    path.write_text(IMPORTS)
    done = subprocess.run([sys.executable, str(path), str(count)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    imported, interrupted = json.loads(done.stdout)
    assert interrupted
    evidence(f"imports in {count} threads at once", tried=imported, required=count)
