"""The heading that a text begins with, and titles without what only numbers them."""

from __future__ import annotations

import html
import re

_HEADING_LINE = re.compile(r"\A\s*(?:#{1,6}\s+(?P<marked>[^\n]+)|(?P<plain>[^\n]{2,60}))\n")
_ARTICLE_HEADING = re.compile(r"\A\s*제\d+조(?:의\d+)?\s*\((?P<heading>[^()\n]{2,50})\)\s*")
_SENTENCE_MARK = re.compile(r"[.?!:;。]\s*\Z|[다요]\s*\Z")
_EXTENSION = re.compile(r"\.(?:md|txt|html?|rst|pdf|docx?)$", re.IGNORECASE)
_BRACKETS = re.compile(r"\s*(?:[(\[（][^()\[\]（）]*[)\]）]|\{[^{}]*\})")
_NUMBERING = re.compile(
    r"^(?:제?\d+(?:의\d+)?(?:조|장|절|단계|항)[.:)]?\s+|\d+(?:\.\d+)*[.)]?\s+|예제?\s?\d*\s?[:.]\s*"
    r"|단계\s?\d+\s?[:.]?\s*|(?:연습|방법|자습서|빠른 시작|샘플|둘러보기)\s?:\s*|[#*\-•]+\s*)"
)


def heading_of(text: str) -> tuple[str, int]:
    r"""Find the heading that a text begins with, and where what it heads begins.

    >>> heading_of("휴가\n\n연차는 열흘이다.")
    ('휴가', 3)
    >>> heading_of("제3조(목적) 이 규정은 여비를 정한다.")
    ('목적', 8)
    """
    article = _ARTICLE_HEADING.match(text)
    if article:
        return article["heading"].strip(), article.end()
    line = _HEADING_LINE.match(text)
    if not line or not text[line.end() :].strip():
        return "", 0
    heading = (line["marked"] or line["plain"]).strip()
    if line["plain"] and _SENTENCE_MARK.search(heading):
        return "", 0
    return heading, line.end()


def tidy(text: str) -> str:
    r"""Take numbering, brackets and a file's extension off a title or a heading.

    >>> tidy("2.1 휴가 규정(개정).md"), tidy("매리너_6호")
    ('휴가 규정', '매리너 6호')
    """
    text = _EXTENSION.sub("", html.unescape(text).split(" | ")[0].strip()).replace("_", " ")
    return _NUMBERING.sub("", _BRACKETS.sub("", text)).strip(" :.-·").strip()
