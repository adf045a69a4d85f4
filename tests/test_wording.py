"""Words: no diagnosis and no promise of a treatment, in definitions, messages, threshold sets and pages."""

import ast
import re
from pathlib import Path

import pytest

from imuposture.metrics._thresholds import FOLDER

ROOT = Path(__file__).parents[1]
# A word that judges health or promises an effect on it -> why it does not belong in what this package says.
FORBIDDEN = {
    r"diagnos\w*": "sensors measure orientation; nobody is diagnosed",
    r"patholog\w*": "no figure tells health from illness",
    r"abnormal\w*": "no figure tells health from illness",
    r"disorder\w*": "an illness is not measured here",
    r"disease\w*": "an illness is not measured here",
    r"patients?": "wearers are not patients",
    r"heal(?:s|ed|ing)?": "no effect is promised",
    r"cur(?:e|es|ed|ing)": "no effect is promised",
    r"treat(?:s|ed|ment|ments|ing)?": "nothing is treated",
    r"therap\w+": "nothing is treated",
    r"rehabilitat\w*": "nothing is treated",
    r"prevent(?:s|ed|ion)? (?:pain|injur\w*|damage)": "no effect is promised",
    r"reliev\w+|alleviat\w+": "no effect is promised",
    r"injur(?:y|ies|ed)": "an injury is not measured here",
    r"pain\w*": "pain is not measured",
    r"harmful|dangerous|unhealthy|healthier": "posture is not judged",
    r"(?:good|bad|correct|wrong|poor|proper) posture": "there is no such thing",
    r"weak(?:er|ness)?|strong(?:er)? muscles?": "muscles are not measured",
    r"clinical\w*": "nothing is meant for a clinic to decide by",
    r"risks?": "a risk is a cohort's, not a person's",
    r"you should|advis\w+|recommend\w*": "nobody is told what to do",
}
# Where such a word stands for a reason: part of a line -> the reason.
ALLOWED = {
    "inertial sensors, no back pain": "whom a published range was measured on",
    "without and 45.8 % with low back pain": "whom published figures were measured on",
    "none of them diagnoses": "says that nothing is diagnosed",
    "**not** muscle force, pressure or pain": "says what is not measured",
    "relative risk of 1.5": "a cohort's finding, quoted with its source and with what it does not say",
}
PAGES = ["docs/metrics.md", "docs/comparing.md", "docs/glossary.md", "docs/add_a_metric.md"]
MODULES = ["metrics", "scoring", "trend", "_cli", "output", "protocols.py"]
PATTERN = re.compile("|".join(rf"\b(?:{words})\b" for words in FORBIDDEN), re.IGNORECASE)


def faults(lines):
    """Yield the lines that hold a forbidden word without a reason."""
    for line in lines:
        left = line
        for phrase in ALLOWED:
            left = left.replace(phrase, "")
        if found := PATTERN.search(left):
            yield found.group(), line.strip()


@pytest.mark.parametrize("page", PAGES)
def test_pages_promise_nothing(page):
    assert list(faults((ROOT / page).read_text(encoding="utf-8").splitlines())) == []


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda file: file.stem)
def test_threshold_sets_promise_nothing(file):
    # The title of a source is quoted as it was printed.
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("source")]
    assert list(faults(lines)) == []


def texts(file):
    """Every text of a module: docstrings, names of figures, definitions, reasons, messages."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from node.value.splitlines()


@pytest.mark.parametrize("module", MODULES)
def test_messages_and_definitions_promise_nothing(module):
    path = ROOT / "imuposture" / module
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert files
    found = [(file.name, *fault) for file in files for fault in faults(texts(file))]
    assert found == []


def test_every_exception_is_needed_and_has_a_reason():
    lines = [line for page in PAGES for line in (ROOT / page).read_text(encoding="utf-8").splitlines()]
    lines += [line for file in FOLDER.glob("*.toml") for line in file.read_text(encoding="utf-8").splitlines()]
    files = [file for module in MODULES for file in (ROOT / "imuposture" / module).rglob("*.py")]
    lines += [line for file in files for line in texts(file)]
    flagged = "\n".join(line for line in lines if PATTERN.search(line))
    assert [phrase for phrase, reason in ALLOWED.items() if phrase not in flagged or not reason] == []


CLAIMS = ["heals your back", "a diagnosis of scoliosis", "Bad posture is harmful", "you should rest", "relieves pain"]


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_words_are_found(claim):
    assert list(faults([claim]))


def test_the_words_of_the_tables_are_explained():
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").lower()
    words = ["verdict", "interval", "definition", "repetition", "inclination", "dose", "percentile", "class", "entropy"]
    words += ["eva", "bout", "break", "trend", "roll", "variance", "mdc", "occasion", "baseline", "neutral stance"]
    assert [word for word in words if word not in glossary] == []
