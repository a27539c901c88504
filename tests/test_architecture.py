"""The house rules, read off the source: includes and imports point down, files and functions are short, no warnings."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from c_build import COMPILER, LIBRARY, ROOT, library, run
from compile_strictly import messages_of

PYTHON = ROOT / "python" / "hypernet"
C_FLOORS = ("base", "kernels", "ops", "network", "train", "hyper", "files", "binding")
STANDARD_HEADERS = {
    *("assert", "ctype", "errno", "float", "inttypes", "limits", "math", "stdarg", "stdatomic", "stdbool", "stddef"),
    *("stdint", "stdio", "stdlib", "string"),
}
VECTOR_HEADERS = {"immintrin.h", "arm_neon.h"}
C_LINES, FUNCTION_LINES, PYTHON_LINES, LINE_LENGTH = 600, 60, 600, 120

C_FILES = sorted(path for path in LIBRARY.rglob("*") if path.suffix in (".c", ".h", ".inc"))
PROGRAMS = sorted([*(ROOT / "examples").glob("*.c"), *(ROOT / "tests" / "c").glob("*.c")])
HEADERS = [path for path in C_FILES if path.suffix == ".h" and path.parent.name != "binding"]


def c_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def includes(path: Path) -> list[str]:
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]+([<"][^>"]+)[>"]', path.read_text(), re.MULTILINE)


# ---- C ----
@pytest.mark.parametrize("path", C_FILES, ids=c_name)
def test_includes_point_down(path: Path) -> None:
    floor = path.parent.name
    height = C_FLOORS.index(floor) if floor in C_FLOORS else len(C_FLOORS)
    for name in includes(path):
        if not name.startswith('"'):
            continue
        target = (path.parent / name[1:]).resolve()
        assert target.is_file(), f"{name[1:]} is not relative to its file"
        if target == LIBRARY / "hypernet.h":
            assert floor == "binding", "the public header is for users and the binding"
            continue
        assert C_FLOORS.index(target.parent.name) <= height, f"{c_name(path)} includes {name[1:]}, which lies above it"
        private = target.stem.endswith("_internal")
        assert not private or target.parent == path.parent, f"{name[1:]} is for its own floor only"


@pytest.mark.parametrize("path", C_FILES, ids=c_name)
def test_system_headers_stay_in_their_floor(path: Path) -> None:
    """Operating systems are base's business, vectors the kernels', Python the binding's."""
    for name in includes(path):
        if name.startswith('"'):
            continue
        header, floor = name[1:], path.parent.name
        if header == "Python.h" or header.startswith("numpy/") or header == "structmember.h":
            assert floor == "binding", header
        elif header in VECTOR_HEADERS:
            assert floor == "kernels", header
        elif header.removesuffix(".h") not in STANDARD_HEADERS:
            assert floor == "base", f"<{header}> is the operating system's"


def functions(text: str) -> list[tuple[str, int, str]]:
    """(first line, lines, the comment above) of every function."""
    found = []
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if line != "{":
            continue
        end = next(i for i in range(start, len(lines)) if lines[i] == "}")
        first = start - 1
        while (
            first > 0 and lines[first - 1] and lines[first - 1][0] not in "}#" and not lines[first - 1].endswith("*/")
        ):
            first -= 1
        above = first - 1
        while above > 0 and lines[above].strip() and not lines[above].startswith("}"):
            above -= 1
        found.append((lines[first], end - start + 1 + start - first, "\n".join(lines[above + 1 : first])))
    return found


def macros(text: str) -> list[tuple[str, int, str]]:
    """The same of macros of several lines."""
    pattern = re.compile(r"^#define (?:.*\\\n)+.*$", re.MULTILINE)
    return [
        (m[0].split("\\")[0].strip(), m[0].count("\n") + 1, text[: m.start()][-300:]) for m in pattern.finditer(text)
    ]


@pytest.mark.parametrize("path", [*C_FILES, *PROGRAMS], ids=c_name)
def test_c_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    lines = text.splitlines()
    assert len(lines) <= C_LINES
    assert "\t" not in text and "\r" not in text
    too_long = [number for number, line in enumerate(lines, 1) if len(line) > LINE_LENGTH]
    assert not too_long, f"lines over {LINE_LENGTH} characters: {too_long}"
    for name, count, comment in functions(text) + macros(text):
        assert count <= FUNCTION_LINES or "long" in comment.lower(), (
            f"{name} has {count} lines and no comment above that says why it is so long"
        )


def test_global_names_are_ours() -> None:
    """A static library shares its names with the program it is linked into."""
    names = re.findall(r"^[0-9a-f]+ [A-TV-Z] (\S+)$", run("nm", "-g", library()), re.MULTILINE)
    assert names
    assert [name for name in names if not name.lstrip("_").startswith("hn_")] == []


@pytest.mark.parametrize("path", HEADERS, ids=c_name)
def test_headers_stand_alone(path: Path, tmp_path: Path) -> None:
    source = tmp_path / "only.c"
    source.write_text(f'#include "{path}"\n#include "{path}"\nint main(void) {{ return 0; }}\n')
    run(*COMPILER, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", source)


@pytest.mark.parametrize(("compiler", "standard"), [("c++", "c++11"), ("clang++", "c++17")])
def test_public_header_is_cpp(compiler: str, standard: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    source = tmp_path / "only.cpp"
    source.write_text(
        '#include "hypernet.h"\n'
        "int main() { hn_error error; hn_graph *graph = hn_graph_create(HN_FLOAT32, &error);\n"
        "hn_graph_free(graph); return graph ? 0 : 1; }\n"
    )
    flags = (f"-std={standard}", "-Wall", "-Wextra", "-Werror", f"-I{LIBRARY}")
    run(compiler, *flags, source, library(), "-lm", "-lpthread", "-o", tmp_path / "only")
    run(tmp_path / "only")


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_no_warnings(compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    assert messages_of(compiler) == []


# ---- Python ----
# From the bottom up; a module, or a package with all that is in it. A module imports from its own floor or lower ones
# when it is loaded.
PYTHON_FLOORS = (
    ("_core", "_names", "_nest", "_shapes", "_convert", "_random", "_registry", "_machine", "_tensor", "_weights"),
    ("activations", "initializers", "constraints", "regularizers", "losses", "metrics", "optimizers"),
    ("layers", "callbacks", "training"),
    ("models", "_pullback", "saving"),
    ("hyper",),
    ("builders", "functional", "utils"),
    ("", "keras"),
    ("__main__", "demo"),
)
FROM_ABOVE = {
    ("_tensor", "layers.merging"),
    ("layers.base", "models.lowering"),
    ("callbacks.monitors", "saving"),
    ("saving", "hyper.model"),
    ("saving", "hyper.quantize"),
    ("saving", "__version__"),
}
PYTHON_FILES = sorted(PYTHON.rglob("*.py"))
LAZY = {"tqdm", "rich", "sklearn", "matplotlib"}  # slow to import: only where they are used
NEVER = {"tensorflow", "keras", "torch", "jax", "scipy", "safetensors", "pandas"}


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(PYTHON).with_suffix("").parts)
    return name.removesuffix("__init__").removesuffix(".")


def python_name(path: Path) -> str:
    return module_of(path) or "hypernet"


def floor_of(module: str) -> int:
    top = module.split(".")[0]
    floors = [height for height, names in enumerate(PYTHON_FLOORS) if top in names]
    assert floors, f"{module} is on no floor of PYTHON_FLOORS"
    return floors[0]


def imports(path: Path, nodes: Iterable[ast.AST]) -> list[tuple[str, bool]]:
    """(name, whether it is a module of ours) of what these statements of the file import."""
    package = module_of(path).split(".") if path.name == "__init__.py" else module_of(path).split(".")[:-1]
    package = [part for part in package if part]
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [(alias.name, False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node.module or "", False))
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1]
            parts = [*start, *(node.module.split(".") if node.module else [])]
            found += [(".".join(parts) or alias.name, True) for alias in node.names]
    return found


def height_of(name: str) -> int:
    """The floor of a module, or of the package for a name of the package itself."""
    exists = name == "_core" or (PYTHON / name.replace(".", "/")).is_dir()
    exists = exists or (PYTHON / (name.replace(".", "/") + ".py")).is_file()
    return floor_of(name) if exists else floor_of("")


@pytest.mark.parametrize("path", PYTHON_FILES, ids=python_name)
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    for name, ours in imports(path, ast.parse(path.read_text()).body):
        if ours:
            assert height_of(name) <= floor_of(module), f"{module or 'hypernet'} imports {name}, which lies above it"
        else:
            top = name.split(".")[0]
            assert top not in NEVER, f"{module} imports {top}"
            assert top not in LAZY or module.startswith(("demo", "__main__")), (
                f"{module} imports {top} when it is loaded"
            )


def test_functions_import_from_above_only_where_it_is_listed() -> None:
    """When they are called: operators and layers that make what lies above them, and files that hold any model."""
    found = set()
    for path in PYTHON_FILES:
        tree = ast.parse(path.read_text())
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            for name, ours in imports(path, ast.walk(function)):
                if ours and height_of(name) > floor_of(module_of(path)):
                    found.add((module_of(path), name))
    assert found == FROM_ABOVE


@pytest.mark.parametrize("path", PYTHON_FILES, ids=python_name)
def test_python_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= PYTHON_LINES
