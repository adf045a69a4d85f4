"""Instructions a sample of the compiled stages, counted by callgrind: a cost without the noise of a clock.

A small C program (instructions.c) runs the kernels over N and over 2 N rows, with nothing else in the loop; the
difference divided by N is the same in every run on every machine, for the same source and compiler. So it can be
compared with a budget, instructions.toml, kept for each compiler: 3 % above it fails; 3 % below it asks for a new one.
Compilers without a budget are only reported.

Run ``python benchmarks/instructions.py [--update] [--cc CC]``. Needs a C compiler and valgrind (``apt-get install
valgrind``). Exit codes: 0 within the budget, 1 above it, 3 no valgrind here.
"""

import argparse
import ast
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import asdict
from pathlib import Path

from imuposture.fusion import Parameters
from imuposture.heading import HeadingSettings, _members

HERE = Path(__file__).resolve().parent
EXT = HERE.parent / "ext"
BUDGETS = HERE / "instructions.toml"
ROWS = 4096  # twice as many are counted too; instructions.c holds as many
SLACK = 0.03
RATE = 100.0
ABSENT, NO_VALGRIND = 3, 3
HEADER = """# Instructions a sample of one sensor, or a row of a pair, counted by callgrind: benchmarks/instructions.py.
# A new cost is accepted with `make instructions UPDATE=--update`, and its reason told in the commit.
"""
CALIBRATED = (0.1, 0.03, 1.0, 1.0)  # rad, rad, stances, and yes: they told the biases


def flags(name: str = "GNU_FLAGS") -> list[str]:
    """Return flags of the build that ships, by their name in setup.py."""
    for node in ast.parse((HERE.parent / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            found: list[str] = ast.literal_eval(node.value)
            return found
    raise SystemExit(f"setup.py has no {name} any more; say here where the flags are")


def compiler_name(cc: str) -> str:
    """Return what a budget is kept for, e.g. ``gcc-12``: instructions differ between major versions."""
    asked = "__clang_major__ __GNUC__ __x86_64__\n"
    told = subprocess.run([cc, "-E", "-P", "-"], input=asked, capture_output=True, text=True, check=True).stdout.split()
    clang, gcc, x86 = told[-3:]
    name = f"clang-{clang}" if clang.isdigit() else f"gcc-{gcc}"
    return name if x86 == "1" else f"{name}-{platform.machine()}"


def settings() -> str:
    """Return the defaults of the package as C initialisers, so that they need not be written down twice."""
    parameters = ", ".join(f".{name} = {float(value)!r}" for name, value in asdict(Parameters()).items())
    pair = ", ".join(repr(float(value)) for value in _members(HeadingSettings(), RATE, CALIBRATED))
    spread = "0.005, 0.05, 0.05, 0.3, 0.007"
    lines = {"PARAMETERS": parameters, "PAIR_SETTINGS": pair, "SPREAD": spread}
    return "".join(f"#define {name} {{{values}}}\n" for name, values in lines.items())


def build(cc: str, folder: Path) -> Path:
    """Compile the kernels as setup.py does, with the program around them."""
    (folder / "settings_for_instructions.h").write_text(settings(), encoding="utf-8")
    long_chains = sorted(EXT.glob("fusion_*.c"))
    others = [HERE / "instructions.c", *sorted(EXT.glob("kinematics_*.c"))]
    for sources, more in ((long_chains, flags("SCHEDULING")), (others, [])):
        command = [cc, "-c", *flags(), *more, f"-I{EXT}", f"-I{folder}", *map(str, sources)]
        subprocess.run(command, check=True, cwd=folder)
    program = folder / "instructions"
    subprocess.run([cc, *map(str, sorted(folder.glob("*.o"))), "-o", str(program), "-lm"], check=True)
    return program


def count(program: Path, case: str, rows: int) -> int | None:
    """Return how many instructions a run takes; None where the processor or the build lacks the case."""
    out = program.with_suffix(".out")
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", str(program), case, str(rows)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode == ABSENT:
        return None
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {run.returncode}:\n{run.stderr}")
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{out} holds no sum; look at it with callgrind_annotate")
    return int(found[1])


def measure(cc: str) -> dict[str, float | None]:
    """Return the instructions a sample of every case."""
    costs: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        program = build(cc, Path(folder))
        listed = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
        for case, samples in (line.split() for line in listed.splitlines()):
            some, twice = count(program, case, ROWS), count(program, case, 2 * ROWS)
            costs[case] = None if some is None or twice is None else (twice - some) / ROWS / int(samples)
    return costs


def judge(costs: dict[str, float | None], budget: dict[str, float]) -> tuple[list[str], list[str]]:
    """Print the table; return the cases that cost too much, and those whose budget should be lowered."""
    dear, cheap = [], []
    print(f"{'instructions a sample':26}{'now':>9}{'budget':>9}{'change':>9}")
    for case, cost in costs.items():
        allowed = budget.get(case)
        if cost is None or allowed is None:
            print(
                f"{case:26}{'-' if cost is None else f'{cost:.1f}':>9}{'-' if allowed is None else f'{allowed:.1f}':>9}"
            )
            continue
        change = cost / allowed - 1.0
        print(f"{case:26}{cost:9.1f}{allowed:9.1f}{100 * change:+8.1f}%")
        if change > SLACK:
            dear.append(case)
        elif change < -SLACK:
            cheap.append(case)
    return dear, cheap


def write(budgets: dict[str, dict[str, float]]) -> None:
    tables = (
        "\n".join([f"[{name}]", *(f"{case} = {cost:.1f}" for case, cost in of.items())]) for name, of in budgets.items()
    )
    BUDGETS.write_text(HEADER + "\n" + "\n\n".join(tables) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="take what is counted as the new budget of this compiler")
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"), help="C compiler")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("no valgrind here: nothing was counted; install it (apt-get install valgrind)", file=sys.stderr)
        return NO_VALGRIND
    name, costs = compiler_name(options.cc), measure(options.cc)
    budgets = tomllib.loads(BUDGETS.read_text(encoding="utf-8")) if BUDGETS.exists() else {}
    print(f"compiler {name}, flags {' '.join(flags())}")
    dear, cheap = judge(costs, budgets.get(name, {}))
    if options.update:
        known = {case: cost for case, cost in costs.items() if cost is not None}
        write(budgets | {name: budgets.get(name, {}) | known})
        print(f"{BUDGETS.name}: the budget of {name} is now what was counted")
        return 0
    if name not in budgets:
        print(f"{name} has no budget in {BUDGETS.name}: reported only")
        return 0
    if cheap:
        print(
            f"{', '.join(cheap)}: more than {SLACK:.0%} below the budget; lower it with --update, so that it stays won"
        )
    if missing := sorted(set(costs) - set(budgets[name])):
        print(f"{', '.join(missing)}: no budget yet; set it with --update")
    if dear:
        print(f"{', '.join(dear)}: more than {SLACK:.0%} above the budget; make it cheaper, or accept it with --update")
    return 1 if dear else 0


if __name__ == "__main__":
    raise SystemExit(main())
