"""A hook of mkdocs: the documents outside docs/ join the site, and links between files lead from page to page."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# Path in the repository: path in the site. Some file systems take SECURITY and security for one name.
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "SECURITY.md": "reporting.md",
    "hardware.md": "hardware.md",
    "models/CARDS.md": "cards.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Return `files` with the documents of OUTSIDE that exist."""
    for path, place in OUTSIDE.items():
        if (ROOT / path).exists():
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return `markdown` with its links leading to pages; a source file that is linked comes along as text.

    A link to a folder becomes its words, and one that leads nowhere is left for mkdocs to refuse.
    """
    source = Path(page.file.abs_src_path or ROOT)

    def of_the_site(link: re.Match[str]) -> str:
        picture, words, target, anchor = link[1], link[2], link[3], link[4] or ""
        path = Path(os.path.normpath(source.parent / target))
        if "://" in target or not path.exists() or not path.is_relative_to(ROOT):
            return link[0]
        if path.is_dir():
            return words
        place = _place(path, config, files)
        return f"{picture}[{words}]({posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"

    return LINK.sub(of_the_site, markdown)


def _place(path: Path, config: MkDocsConfig, files: Files) -> str:
    name = path.relative_to(ROOT).as_posix()
    if name in OUTSIDE:
        return OUTSIDE[name]
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    place = f"source/{name}.txt"  # a browser shows text and downloads Python
    if files.get_file_from_path(place) is None:
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return place
