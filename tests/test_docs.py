"""README and docs: links lead somewhere, examples run, tables say what the code says."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

import imuposture
from imuposture.__main__ import cli
from imuposture.output.schema import TABLES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "recordings").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SOURCE = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "imuposture").rglob("*.py"))


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


EXAMPLES = [
    pytest.param(code, id=f"{name_of(page)}-{number}")
    for page in PAGES
    for number, code in enumerate(blocks(page, "python"), 1)
    if "import" in code  # without, it is a fragment of something that the page talks about
]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    targets = [link.split("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8"))]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    named = re.findall(
        r"`((?:imuposture|ext|tests|benchmarks|docs|recordings)/[\w./]*\w\.\w+)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("code", EXAMPLES)
def test_python_examples_run(code, tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "recordings").symlink_to(ROOT / "recordings")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_toml_examples_are_toml(page):
    for code in blocks(page, "toml"):
        tomllib.loads(code)


def test_recording_settings_of_the_docs_are_accepted(tmp_path):
    from imuposture.acquisition.readers.settings import read_settings

    for number, code in enumerate(blocks(ROOT / "docs" / "recordings.md", "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(code, encoding="utf-8")
        assert read_settings(path).path == path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page):
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"^imuposture .*$", "\n".join(blocks(page, "sh")), re.MULTILINE):
        _, name, *rest = shlex.split(line, comments=True)
        known = {flag for option in cli.commands[name].params for flag in option.opts}
        assert {word for word in rest if word.startswith("--")} <= known, line
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make (\w+)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile, f"make {target}"


def test_processed_recordings_do_not_meet_the_folders_of_the_demo():
    """Both write a session named demo, and a recorded one is never replaced."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\nprocess:")[1].split("\n\n")[0]
    assert re.findall(r"--out (\S+)", recipe) == ["$(OUT)/recordings"]


def test_session_columns_are_those_of_the_schema():
    text = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8")
    for table, columns in TABLES.items():
        section = text.split(f"\n## {table}.parquet\n")[1].split("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*) \|$", section, re.MULTILINE)
        never = "; never null"
        assert rows == [
            (c.name, str(c.type), c.unit or "", c.description + ("" if c.nullable else never)) for c in columns
        ]


def test_every_message_of_the_troubleshooting_page_is_one():
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    text = text.split("\n## Recordings that are refused\n")[1].split("\n## Results that look wrong\n")[0]
    source = re.sub(r'"\s*\n\s*f?"', "", SOURCE)  # a message may be written over several lines
    cells = [cell for cell, _ in re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE) if "holds" not in cell]
    parts = [part.strip() for cell in cells for words in cell.split("...") for part in words.split(", ")]
    assert len(parts) > 20
    assert [part for part in parts if part and part not in source] == []


def test_the_changelog_knows_this_version():
    assert f"## [{imuposture.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
