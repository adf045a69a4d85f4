"""The folder listing is the data flow: a module imports only from what stands above it, and stages never each other."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import imuposture

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "imuposture"
GROUND = ["_blocks", "_errors", "_ext", "_checks"]
STAGES = [
    "acquisition",
    "alignment",
    "calibration",
    "doubt",
    "filtering",
    "fusion",
    "heading",
    "kinematics",
    "metrics",
    "output",
]
# these know several stages
WALK = ["pipeline", "processing", "protocols", "recording", "scoring", "single_sensor", "trend", "_cli", "__main__"]
ORDER = [*GROUND, *STAGES, *WALK]
# Where a package may be imported; everything else must do without it.
HOMES = {
    "bleak": ("acquisition/",),
    "bumble": ("acquisition/virtual/",),
    "pyarrow": (
        "acquisition/readers/",
        "acquisition/simulation/writing.py",
        "output/",
        *(f"{m}.py" for m in WALK),
        "scoring/",
        "trend/",
    ),
    "click": ("__main__.py", "_cli/"),
    "rich": ("_cli/",),
}
HEAVY = {"aiohttp", "bleak", "bumble", "matplotlib", "pandas", "polars", "pyarrow", "scipy.signal"}
LIGHT = ["imuposture", "imuposture.__main__"]
WITHOUT_ARROW = [f"imuposture.{name}" for name in [*STAGES, "pipeline"] if name != "output"]
LONGEST_FILE, LONGEST_FUNCTION = 400, 40
PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))
COMPILED_FILES = sorted(file for file in (ROOT / "ext").iterdir() if file.suffix in {".pyx", ".pxd", ".h", ".c"})
PYX_FILES = [file for file in COMPILED_FILES if file.suffix == ".pyx"]


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def home_of(file: Path) -> str:
    """Name the entry of the listing that a file belongs to."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield what is imported anywhere in a file, in functions and for type checking too, as dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts_used(file: Path) -> set[str]:
    """Return the entries of the listing that a file imports from."""
    names = (name.split(".") for name in imported(ast.parse(file.read_text(encoding="utf-8"))))
    return {parts[1] for parts in names if parts[0] == "imuposture" and len(parts) > 1}


def test_the_order_is_the_listing():
    listed = {home_of(file) for file in PYTHON_FILES} | {"_ext"}
    assert listed - {"__init__"} == set(ORDER), "a module is new or gone: give it its place in ORDER"
    assert sorted(STAGES + WALK[:-2]) == STAGES + WALK[:-2], "ls must show the order of the flow"


def allowed_in(home: str) -> set[str]:
    """Return what a module of the listing may import: a stage the ground it stands on, a walk all above it."""
    if home in ("_cli", "__main__"):
        return {*ORDER, "__version__", *imuposture.__all__}
    return set(GROUND if home in STAGES else ORDER[: ORDER.index(home)])


def test_imports_point_up_the_listing():
    files = [file for file in PYTHON_FILES if home_of(file) != "__init__"]
    wrong = {name_of(file): parts_used(file) - {home_of(file)} - allowed_in(home_of(file)) for file in files}
    assert {name: used for name, used in wrong.items() if used} == {}


def test_a_stage_uses_only_its_own_compiled_half():
    # Metrics are many and compiled by what they do, and fusion has two variants; those halves carry their own names.
    metrics = {"movements", "profiles", "seconds", "stays", "strides", "tallies"}
    halves = {"fusion": {"fusion", "smoothing"}, "metrics": metrics, "_checks": {"checks"}}
    for file in PYTHON_FILES:
        names = imported(ast.parse(file.read_text(encoding="utf-8")))
        compiled = {name.split(".")[2] for name in names if name.startswith("imuposture._ext.")}
        assert compiled <= halves.get(home_of(file), {home_of(file)}), name_of(file)


@pytest.mark.parametrize("package", HOMES)
def test_outside_packages_stay_where_they_belong(package):
    users = [
        file.relative_to(PACKAGE).as_posix()
        for file in PYTHON_FILES
        if any(name.split(".")[0] == package for name in imported(ast.parse(file.read_text(encoding="utf-8"))))
    ]
    assert [user for user in users if not user.startswith(HOMES[package])] == []


def loaded_by(statement: str) -> set[str]:
    """Run a statement in a new interpreter; return the modules that it loaded, those inside packages too."""
    told = "import sys; print('\\n' + ' '.join(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{told}"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(run.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", LIGHT)
def test_importing_the_package_is_light(module):
    assert loaded_by(f"import {module}") & HEAVY == set()


def test_help_is_light():
    run = "from imuposture.__main__ import cli\ncli.main(['--help'], standalone_mode=False)"
    assert loaded_by(run) & (HEAVY | {"numpy", "scipy"}) == set()


def test_stages_load_no_heavy_package():
    modules = ", ".join(name for name in WITHOUT_ARROW)
    assert loaded_by(f"import {modules}, imuposture.acquisition.simulation") & HEAVY == set()


def test_files_can_be_read_at_a_sitting():
    lengths = {name_of(f): len(f.read_text(encoding="utf-8").splitlines()) for f in [*PYTHON_FILES, *COMPILED_FILES]}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function from its ``def``, without its docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    told = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - told


def test_functions_fit_in_a_glance():
    lengths = {
        f"{name_of(file)} {node.name}": lines_of(node)
        for file in PYTHON_FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


def code_of(source: str) -> str:
    """Blank out comments, strings and docstrings of Cython or C."""
    pattern = (
        r'"""[\s\S]*?"""|/\*[\s\S]*?\*/|//[^\n]*|(?<!\w)#(?!\s*(?:include|define|if|el|end|pragma))[^\n]*|"[^"\n]*"'
    )
    return re.sub(pattern, lambda found: "\n" * found.group().count("\n"), source)


def compiled_functions(code: str) -> dict[str, int]:
    """Count the lines of code in the body of each function of a .pyx file; comments and docstrings are blanked out."""
    lengths: dict[str, int] = {}
    name, indent = "", 0
    for line in filter(str.strip, code.splitlines()):
        depth = len(line) - len(line.lstrip())
        if name and depth <= indent and not line.lstrip().startswith(")"):
            name = ""
        head = re.match(r"\s*(?:cp?def|def)\b[^=]*?(\w+)\(", line)
        if head and not name:
            name, indent = head[1], depth
        if name:
            # The count starts anew where the head ends, which may take several lines.
            lengths[name] = 0 if depth <= indent else lengths.get(name, 0) + 1
    return lengths


def test_compiled_functions_fit_in_a_glance():
    for file in PYX_FILES:
        lengths = compiled_functions(code_of(file.read_text(encoding="utf-8")))
        assert lengths, f"no function was found in {name_of(file)}"
        assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}, name_of(file)


def test_compiled_code_only_computes():
    # No libm either: its sin and atan2 differ between machines, and rows must not. sqrt and fabs are exact everywhere.
    banned = r"raise|assert|malloc|calloc|free|numpy|np|sinf?|cosf?|tan|asin|acos|atan2?|exp|log|pow|hypot|cbrt|fma"
    pattern = re.compile(rf"(?<![\w.])(?:{banned})\b(?=\s*[(.]|\s+\w)")
    found = {name_of(file): pattern.findall(code_of(file.read_text(encoding="utf-8"))) for file in COMPILED_FILES}
    assert {name: words for name, words in found.items() if words} == {}


def test_every_compiled_module_is_built_and_has_a_stub():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert [file.name for file in PYX_FILES if f'"{file.stem}": (' not in setup] == [], "name it in setup.py"
    stubs = {file.stem for file in (PACKAGE / "_ext").glob("*.pyi")}
    assert {file.stem for file in PYX_FILES} == stubs
