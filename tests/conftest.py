"""What every test file may use, and two rules: conformance tests may not be skipped, and what was tried is written."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Generator, Iterator

import pytest

import evidence as evidence_file

MESSAGE = "a conformance test may not be skipped"
RECORDER = pytest.StashKey[evidence_file.Recorder]()
CLAIMS = pytest.StashKey[dict]()
STARTED = pytest.StashKey[float]()


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> evidence_file.Recorder:
    """Says what was tried and the worst found: asserted, and kept in the evidence file (tests/evidence.py)."""
    recorder = evidence_file.Recorder(request.node.nodeid)
    request.node.stash[RECORDER] = recorder
    return recorder


@pytest.fixture
def restored_threads() -> Iterator[None]:
    """The test may set the number of threads."""
    import hypernet as hn

    threads = hn.get_num_threads()
    yield
    hn.set_num_threads(threads)


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{MESSAGE}: {report.longrepr}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`not_sanitized(reason)`: what cannot hold under a sanitizer (tests/sanitized.py), which takes memory and time, nor
    where lines are counted (tests/c_coverage.py), which takes time."""
    mark = item.get_closest_marker("not_sanitized")
    if mark and (os.environ.get("HYPERNET_SANITIZED") or os.environ.get("HYPERNET_COUNTED")):
        pytest.skip(mark.args[0])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.get_closest_marker("conformance"):
        fail_if_skipped(report)
    recorder = item.stash.get(RECORDER, None)
    if recorder is not None and report.when == "call":
        claims = item.config.stash.setdefault(CLAIMS, {})
        made = {claim: entry | {"passed": report.passed} for claim, entry in recorder.claims.items()}
        evidence_file.add(claims, made)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if collector.config.getoption("markexpr") == "conformance":  # a file that skips itself
        fail_if_skipped(report)
    return report


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[STARTED] = time.monotonic()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Keep the claims of this run, and say where; a run without any (of a single file, say) keeps nothing."""
    claims = config.stash.get(CLAIMS, {})
    if not claims:
        return
    counts: dict[str, object] = {
        name: len(terminalreporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")
    }
    counts["seconds"] = round(time.monotonic() - config.stash[STARTED], 1)
    command = shlex.join(["pytest", *config.invocation_params.args]).replace(f"{evidence_file.ROOT}{os.sep}", "")
    evidence_file.write(claims, command, counts)
    terminalreporter.write_line(f"{len(claims)} claims are kept in {evidence_file.path()}")
