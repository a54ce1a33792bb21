"""What tests need to know of the Markdown files of the repository."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PASSED_OVER = {"demo_out", "build", "dist", "shared"}
_FENCE = re.compile(r"^(```+|~~~+)([^\n]*)\n(.*?)^\1[ \t]*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def markdown_files() -> list[Path]:
    """All Markdown files that belong to the repository."""
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if not any(part.startswith(".") or part in _PASSED_OVER for part in path.relative_to(ROOT).parts[:-1])
    )


def fences(text: str) -> list[tuple[str, str]]:
    """The code blocks of a page: language and code."""
    return [(info.strip(), code) for _, info, code in _FENCE.findall(text)]


def prose(text: str) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Where a page points to; not what is quoted as code."""
    return _LINK.findall(re.sub(r"(?<!\[)`[^`\n]*`(?!\])", "", prose(text)))


@cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors that a forge makes of a page's headings: small letters, spaces as hyphens, no other punctuation."""
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(prose(path.read_text(encoding="utf-8"))):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        kept = (letter for letter in shown.lower() if letter in " -_" or unicodedata.category(letter)[0] in "LN")
        name = "".join(kept).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return frozenset(names)


def broken(page: Path) -> list[str]:
    """The links of a page that lead to no file, or to no heading of it."""
    bad = []
    for link in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        is_missing = not target.exists() or not target.is_relative_to(ROOT)
        if is_missing or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            bad.append(link)
    return bad
