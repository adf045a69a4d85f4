"""The gate on instructions: it fails when a sample became dearer, asks when it became cheaper, and forgets no case."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gate(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("instructions")


@pytest.mark.parametrize(
    ("cost", "dear", "cheap"),
    [(100.0, [], []), (102.9, [], []), (103.2, ["step"], []), (97.2, [], []), (96.0, [], ["step"])],
)
def test_three_percent_is_the_limit(gate, cost, dear, cheap):
    assert gate.judge({"step": cost}, {"step": 100.0}) == (dear, cheap)


def test_what_cannot_run_or_has_no_budget_is_shown_and_not_judged(gate, capsys):
    assert gate.judge({"avx2": None, "new": 50.0}, {"avx2": 10.0}) == ([], [])
    assert re.search(r"avx2 +- +10\.0\nnew +50\.0 +-\n", capsys.readouterr().out)


def test_flags_are_those_of_the_build(gate):
    assert "-ffp-contract=off" in gate.flags()


def test_the_settings_are_those_of_the_package(gate):
    lines = dict(line.split(maxsplit=2)[1:] for line in gate.settings().splitlines())
    assert ".acc_tau = 3.0" in lines["PARAMETERS"]
    assert lines["PAIR_SETTINGS"].startswith("{0.01, 50.0, ")


def test_budgets_are_of_cases_there_are(gate):
    there = set(
        re.findall(r'^    \{"(\w+)", ', (BENCHMARKS / "instructions.c").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for compiler, budget in tomllib.loads(gate.BUDGETS.read_text(encoding="utf-8")).items():
        assert set(budget) <= there, compiler
        assert min(budget.values()) > 0
