"""The documents tell the truth: what exists is documented, what is documented exists."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from appliance.contract import EventType, Hint, Reason, Topic
from scripts.reference_page import PAGE, page

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "models" / "CARDS.md"])
# In the site's navigation these have other names than their files: scripts/site_links.py.
OUTSIDE = {"index.md", "changes.md", "reporting.md", "hardware.md", "cards.md"}
SCRIPTS = (
    "vm",
    "setup",
    "demo",
    "test",
    "check",
    "bench",
    "build_models",
    "lock",
    "reference",
    "gpio_vm",
    "sbom",
    "check_vulnerabilities",
    "docs",
    "install",
    "bundle",
    "check_wheels",
    "try_install",
)
# Each fault that this version claims to survive has a test whose docstring names it.
CLAIMED = re.compile(r"\| ([A-J]\d+) \|")


def test_reference_is_what_the_code_says() -> None:
    """Every command, option, key, topic, verb, event, reason and hint stands in docs/reference.md."""
    assert PAGE.read_text(encoding="utf-8") == page(), "run scripts/reference"


@pytest.mark.parametrize("word", [*EventType, *Reason, *Hint, *Topic])
def test_word_of_the_contract_is_documented(word: str) -> None:
    """No word leaves the device that the reference does not list."""
    assert f"`{word}`" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link and picture in a document exists."""
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def headings(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as both the site and the usual viewers make them."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_anchors_are_headings(document: Path) -> None:
    """A link to a place in a document leads to one of its headings."""
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text(encoding="utf-8"))
    pages = [((document.parent / page) if page else document, anchor) for page, anchor in links]
    assert [anchor for page, anchor in pages if page.exists() and anchor not in headings(page)] == []


def test_site_leads_to_every_page() -> None:
    """The navigation of mkdocs.yml names each page of docs/ once, and no page that is not there."""
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(re.findall(r"[-:] (\S+\.md)$", nav, re.MULTILINE)) == sorted(pages | OUTSIDE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_lists_and_tables_stand_apart(document: Path) -> None:
    """A list or a table has an empty line before it: without one mkdocs takes it for more of the paragraph."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^(?![ |#*-]|\d+\. )\S.*\n(?:[*-] |1\. |\|).*", text, re.MULTILINE) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_exists_and_is_documented(script: str) -> None:
    """Every script can be run and is named in the README or in docs/."""
    assert (ROOT / "scripts" / script).stat().st_mode & 0o111
    assert any(f"scripts/{script}" in path.read_text(encoding="utf-8") for path in DOCUMENTS)


@functools.cache
def definitions() -> list[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Return each function and class at the top of the tests' files, and of their classes, with its place."""
    found: list[tuple[str, ast.FunctionDef | ast.ClassDef]] = []
    for path in (ROOT / "tests").rglob("*.py"):
        bodies = [ast.parse(path.read_text(encoding="utf-8")).body]
        while bodies:
            nodes = [node for node in bodies.pop() if isinstance(node, ast.FunctionDef | ast.ClassDef)]
            found += [(f"{path.relative_to(ROOT)}:{node.lineno}", node) for node in nodes]
            bodies += [node.body for node in nodes if isinstance(node, ast.ClassDef)]
    return found


def test_every_test_says_what_it_promises() -> None:
    """Each test function has a docstring."""
    silent = [place for place, node in definitions() if node.name.startswith("test_") and not ast.get_docstring(node)]
    assert silent == []
    assert len(definitions()) > 1000


def test_claimed_faults_have_a_test_that_names_them() -> None:
    """Every fault listed in docs/security.md as covered is named in the docstring of a test."""
    claimed = CLAIMED.findall((ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    promises = " ".join(ast.get_docstring(node) or "" for _, node in definitions())
    assert claimed
    assert [fault for fault in claimed if not re.search(rf"\b{fault}\b", promises)] == []


@pytest.mark.parametrize("paper", ["threat-model", "privacy-impact", "compliance"])
def test_papers_lean_on_faults_that_are_claimed(paper: str) -> None:
    """Each fault that a paper about trust names is a row of docs/security.md."""
    claimed = set(CLAIMED.findall((ROOT / "docs" / "security.md").read_text(encoding="utf-8")))
    named = set(re.findall(r"\b[A-J]\d{1,2}\b", (ROOT / "docs" / f"{paper}.md").read_text(encoding="utf-8")))
    assert named
    assert sorted(named - claimed) == []


def test_locks_name_no_index() -> None:
    """The lock files pin every package by hash and say nothing of where it comes from."""
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = lock.read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert not re.search(r"://|--(extra-)?index-url|--find-links", text), lock.name
