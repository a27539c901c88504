"""The extension built for aarch64, and a Python for it: run by qemu-user on any other processor.

    python tests/cross_build.py [FOLDER]              makes or refreshes build/cross (or FOLDER)
    python tests/cross_build.py [FOLDER] -- -m pytest tests/test_losses.py
                                                      and runs its Python with these arguments

Needs aarch64-linux-gnu-gcc, qemu-aarch64, and apt and pip with a network the first time. The system root is made of
Debian's packages, unpacked and not installed: neither root's rights are needed, nor does apt of this machine change.
NumPy and pytest are wheels for aarch64, and the sources are compiled as setup.py says.
"""

from __future__ import annotations

import hashlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
COMPILER = "aarch64-linux-gnu-gcc"
EMULATOR = "qemu-aarch64"
LIBRARIES = ("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5")
WHEELS = ("numpy", "tqdm", "rich", "pytest", "hypothesis", "safetensors")
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")


class NotHere(Exception):
    """What this machine lacks to build or run it."""


def _run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """The standard output; NotHere with the end of what it wrote if it fails."""
    words = [str(part) for part in command]
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=os.environ | environment)
    if done.returncode != 0:
        raise NotHere(f"{' '.join(words[:3])} failed: {(done.stdout + done.stderr)[-600:]}")
    return done.stdout


def _apt(state: Path) -> list[str]:
    """Options of apt for arm64 alone, with lists and archives of its own and nothing installed."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "APT::Sandbox::User": "",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _unpack_system(root: Path) -> str:
    """Python, its headers and its libraries; the version that the distribution has, "3.11"."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise NotHere(f"there is no {program}")
    with tempfile.TemporaryDirectory() as work:
        apt = _apt(Path(work) / "apt")
        _run("apt-get", *apt, "-qq", "-o", "APT::Update::Error-Mode=any", "update")
        found = re.search(r"Depends:.*\bpython(3\.\d+)-minimal", _run("apt-cache", *apt, "show", "python3-minimal"))
        if found is None:
            raise NotHere("the distribution has no Python for arm64")
        name = f"python{found[1]}"
        packages = [*LIBRARIES, f"{name}-minimal", *(f"lib{name}-{part}" for part in ("minimal", "stdlib", "dev"))]
        _run("apt-get", *apt, "-qq", "download", *packages, cwd=Path(work))
        archives = sorted(Path(work).glob("*.deb"))
        if len(archives) != len(packages):
            raise NotHere(f"apt-get fetched {len(archives)} of {len(packages)} packages")
        for archive in archives:
            _run("dpkg-deb", "-x", archive, root)
    return found[1]


def _install_wheels(folder: Path, version: str) -> None:
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    python = ("--implementation", "cp", "--python-version", version)
    _run(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:", "--no-compile",
         *platforms, *python, "--target", folder, *WHEELS)  # fmt: skip


def _extension() -> Any:
    """Sources, flags and macros as setup.py declares them."""
    try:
        import setuptools
    except ImportError as error:
        raise NotHere("there is no setuptools") from error
    with mock.patch.object(setuptools, "setup") as setup:
        runpy.run_path(str(ROOT / "setup.py"))
    return setup.call_args.kwargs["ext_modules"][0]


class Cross:
    """A folder with everything: `system` (the root), `site` (wheels), `package` (hypernet), `objects`."""

    def __init__(self, folder: Path = ROOT / "build" / "cross") -> None:
        for program in (COMPILER, EMULATOR):
            if shutil.which(program) is None:
                raise NotHere(f"there is no {program}")
        self.folder = folder.resolve()
        self.system, self.site, self.package = (self.folder / name for name in ("system", "site", "package"))
        if not (self.folder / "version").exists():
            self._prepare()
        self.version = (self.folder / "version").read_text()
        self._build()

    def _prepare(self) -> None:
        """What does not change with the sources; `version` is written when all of it is there."""
        for made in (self.system, self.site):
            shutil.rmtree(made, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        version = _unpack_system(self.system)
        _install_wheels(self.site, version)
        (self.folder / "version").write_text(version)

    def _includes(self) -> list[str]:
        headers = self.system / "usr" / "include"  # pyconfig.h includes the one of the architecture
        numpy = next(self.site.glob("numpy/_core/include"))
        return [f"-I{headers / f'python{self.version}'}", f"-I{headers}", f"-I{numpy}"]

    def _build(self) -> None:
        """Objects are named by hashes of all headers, the source and the flags; the package is copied."""
        extension = _extension()
        macros = [f"-D{name}={value}" for name, value in extension.define_macros]
        flags = [*extension.extra_compile_args, "-fPIC", *macros, *self._includes()]
        headers = b"".join((ROOT / path).read_bytes() for path in extension.depends)
        common = hashlib.sha256(headers + repr(flags).encode()).digest()
        objects = self.folder / "objects"
        objects.mkdir(exist_ok=True)

        def compile_one(source: str) -> Path:
            path = ROOT / source
            target = objects / f"{hashlib.sha256(common + source.encode() + path.read_bytes()).hexdigest()[:24]}.o"
            if not target.exists():
                partial = target.with_suffix(".part")
                _compile(COMPILER, *flags, "-c", path, "-o", partial)
                partial.rename(target)
            return target

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = list(pool.map(compile_one, extension.sources))
        for old in set(objects.iterdir()) - set(made):
            old.unlink()
        shutil.rmtree(self.package, ignore_errors=True)
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / "python" / "hypernet", self.package / "hypernet", ignore=ignored)
        tag = f"cpython-{self.version.replace('.', '')}-aarch64-linux-gnu"
        target = self.package / "hypernet" / f"_core.{tag}.so"
        _compile(COMPILER, "-shared", *made, "-o", target, *extension.extra_link_args)

    def command(self, *arguments: str | Path) -> list[str]:
        python = self.system / "usr" / "bin" / f"python{self.version}"
        return [EMULATOR, "-L", str(self.system), str(python), *map(str, arguments)]

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HYPERNET_"))}
        paths = os.pathsep.join(map(str, (self.package, self.site)))
        return kept | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"} | more

    def run(self, *arguments: str | Path, **environment: str) -> str:
        """The standard output of that Python; AssertionError with what it wrote if it fails."""
        command = self.command(*arguments)
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=self.environment(**environment))
        assert done.returncode == 0, f"{command} {environment}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout


def _compile(*command: str | Path) -> None:
    """Code that does not compile is a failure, not something that this machine lacks."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stderr}"


def main() -> int:
    words = sys.argv[1:]
    own, rest = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    try:
        cross = Cross(*map(Path, own[:1]))
    except NotHere as error:
        print(error, file=sys.stderr)
        return 1
    print(f"built in {cross.folder}: Python {cross.version}", file=sys.stderr)
    return subprocess.run(cross.command(*rest), env=cross.environment(), cwd=ROOT).returncode if rest else 0


if __name__ == "__main__":
    sys.exit(main())
