"""Build the retrieval data set of our own questions over Korean statutes, outside the repository.

    python -m benchmarks.data.statute_questions OUT.jsonl [--articles 20000]
    ko-rerank evaluate --data pairs:OUT.jsonl --split test

Our 300 questions, each with the law, heading and digest of its article, are in `benchmarks/data`; the articles stay in
the data folder (`KO_RERANK_DATA`, or `../shared/data` beside the repository).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet

from benchmarks.paths import DATA
from benchmarks.paths import STATUTE_QUESTIONS as QUESTIONS
from llama_index_ko_rerank.errors import InvalidSetting, MalformedData

SEED = 20261120
Fields = Mapping[str, str]
Articles = Mapping[str, Fields]


def main() -> None:
    """Read, sample and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the JSONL file to write, for `pairs:OUT.jsonl`")
    parser.add_argument("--articles", default="20000", help="how many articles to search, or all (default: 20000)")
    arguments = parser.parse_args()
    questions = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    limit = None if arguments.articles == "all" else int(arguments.articles)
    articles = sample_articles(read_articles(DATA / "corpus" / "statutes.parquet"), questions, limit=limit)
    rows = list(pair_rows(articles, questions))
    arguments.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{arguments.out}: {len(rows):,} articles, {len(questions)} questions")


def read_articles(path: Path) -> Articles:
    """Read the articles of at least 20 characters, one for each distinct text, by 12 digits of the text's SHA-256."""
    articles: dict[str, Fields] = {}
    for row in parquet.read_table(path, columns=["law", "article", "heading", "text"]).to_pylist():
        fields = {name: unicodedata.normalize("NFC", value) for name, value in row.items()}
        if len(fields["text"]) >= 20:
            articles.setdefault(hashlib.sha256(fields["text"].encode()).hexdigest()[:12], fields)
    return articles


def sample_articles(articles: Articles, questions: Sequence[Fields], *, limit: int | None) -> Articles:
    """Take the articles that questions name and, up to `limit`, random ones of 80 to 1,500 characters, in corpus order.

    Raises:
        InvalidSetting: `limit` is smaller than the number of questions.
        MalformedData: The corpus lacks an article that a question names, or has another article under its digest.
    """
    for question in questions:
        found = articles.get(question["sha256"], {})
        if any(found.get(name) != question[name] for name in ("law", "article", "heading")):
            raise MalformedData(f"{question['law']} {question['article']}: the corpus lacks the text asked about")
    if limit is None:
        return articles
    named = [question["sha256"] for question in questions]
    if limit < len(named):
        raise InvalidSetting(f"--articles {limit} leaves no room for the {len(named)} articles that questions name")
    eligible = [digest for digest, fields in articles.items() if 80 <= len(fields["text"]) <= 1500]
    shuffled = np.random.default_rng(SEED).permutation(len(eligible))
    kept = set(list(dict.fromkeys([*named, *(eligible[number] for number in shuffled)]))[:limit])
    return {digest: fields for digest, fields in articles.items() if digest in kept}


def pair_rows(articles: Articles, questions: Sequence[Fields]) -> Iterator[dict[str, str]]:
    """Turn each article into one row: with its question and the question's id, or with the passage's id alone."""
    asked = {question["sha256"]: (f"q{number:03d}", question["question"]) for number, question in enumerate(questions)}
    for digest, fields in articles.items():
        row_id, question = asked.get(digest, (digest, ""))
        title = f"{fields['law']} {fields['heading']}".strip()
        yield {"question": question, "context": fields["text"], "title": title, "id": row_id, "split": "test"}


if __name__ == "__main__":
    main()
