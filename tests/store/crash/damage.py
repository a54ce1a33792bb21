"""Files that were damaged behind the store's back, and what the next opening makes of them."""

from __future__ import annotations

import logging
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.errors import StoreError
from llama_index_ko_rerank.store import DurableFaissVectorStore
from llama_index_ko_rerank.store.faiss.normalize import normalize_embeddings
from tests.store.crash.kills import search_somewhere
from tests.store.crash.model import Model, contents, search_problem, stored_contents
from tests.store.crash.operations import apply, next_operation, perform

LOGGER = "llama_index_ko_rerank.store"
TABLE = "nodes.sqlite3"
NODES = 60
PROBLEM_LENGTH = 300


def cut(content: bytes, chance: random.Random) -> bytes:
    """Keep a random beginning, which may be empty or all but one byte."""
    return content[: chance.choice([0, len(content) - 1, chance.randrange(len(content))])]


def flip(content: bytes, chance: random.Random) -> bytes:
    """Flip one bit, or some."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 64])):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    # Two flips of one bit would be none.
    return flip(content, chance) if changed == content else bytes(changed)


def overwrite(content: bytes, chance: random.Random) -> bytes:
    """Overwrite a stretch by random bytes, or go on past the end."""
    start = chance.randrange(len(content) + 1)
    return content[:start] + chance.randbytes(512) + content[start + 512 :]


TABLE_DAMAGES = ("cut", "flip", "overwrite", "vector")
DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {"cut": cut, "flip": flip, "overwrite": overwrite}


class DamageHarness:
    """Damage copies of one index and compare what they give with what was put in.

    Attributes:
        counts: Cases by damage and by what came of them.
        problems: One line for every snapshot that was trusted, and for every damage that changed a result unnoticed.
    """

    def __init__(self, folder: Path, options: dict[str, Any], *, seed: int) -> None:
        self._folder = folder
        self._options = options
        self._chance = random.Random(seed)
        self._model: Model = {}
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._indexes = [folder / "whole", folder / "ahead of its snapshot"]
        self._models: list[Model] = []
        self._build()

    def damage_snapshot(self, damage: str) -> None:
        """Damage the snapshot of a copy, which must be noticed, do no harm, and be mended by the next snapshot."""
        number = self._chance.randrange(2)
        folder, model = self._copy(number), self._models[number]
        (snapshot,) = folder.glob("vectors.*")
        snapshot.write_bytes(DAMAGES[damage](snapshot.read_bytes(), self._chance))
        self._count(damage)
        try:
            with warnings() as noticed, self._open(folder) as store:
                wrong = _problem(store, model, self._chance)
                store.persist()
            with warnings() as afterwards, self._open(folder) as store:
                wrong = wrong or _problem(store, model, self._chance)
        except StoreError as error:
            self.problems.append(f"{folder.name}, {damage}: {error!r}")
            return
        self.counts["noticed"] += bool(noticed)
        self.counts["rebuilt for good"] += not afterwards
        if wrong or not noticed or afterwards:
            self.problems.append(f"{folder.name}, {damage}: {wrong}, noticed {noticed}, afterwards {afterwards}")

    def damage_table(self, damage: str) -> None:
        """Damage the table of a copy, with its snapshot or without, and find out whether anybody notices."""
        folder, model = self._copy(0), self._models[0]
        if self._chance.random() < 1 / 2:
            for snapshot in folder.glob("vectors.*"):
                snapshot.unlink()
        table = folder / TABLE
        content = table.read_bytes()
        if damage == "vector":
            table.write_bytes(self._flip_in_a_vector(content, model))
        else:
            table.write_bytes(DAMAGES[damage](content, self._chance))
        self._count(damage)
        try:
            with self._open(folder) as store:
                wrong = _problem(store, model, self._chance)
        except StoreError as error:
            self.counts[f"raised {type(error).__name__}"] += 1
            return
        if wrong:
            self.problems.append(f"{folder.name}, {damage} of the table: {wrong}"[:PROBLEM_LENGTH])
        self.counts["silently wrong" if wrong else "every result right"] += 1

    def _flip_in_a_vector(self, content: bytes, model: Model) -> bytes:
        """Flip one bit where the table keeps a vector, found by its bytes."""
        node_id = self._chance.choice(list(model))
        vector = normalize_embeddings([model[node_id].vector(node_id)], [node_id]).tobytes()
        start = content.index(vector)
        bit = self._chance.randrange(len(vector) * 8)
        position = start + bit // 8
        return content[:position] + bytes([content[position] ^ 1 << bit % 8]) + content[position + 1 :]

    def _build(self) -> None:
        whole, ahead = self._indexes
        with self._open(whole) as store:
            while len(self._model) < NODES:
                self._change(store)
            store.persist()
        self._models.append(self._model)
        shutil.copytree(whole, self._folder / "growing")
        with self._open(self._folder / "growing") as store:
            self._change(store)
            # What a crash would leave: the log not merged, the snapshot of an earlier generation.
            shutil.copytree(self._folder / "growing", ahead)
        self._models.append(self._model)

    def _change(self, store: DurableFaissVectorStore) -> None:
        operation = next_operation(self._chance, self._model)
        while operation[0] not in {"add", "upsert", "delete_nodes"}:
            operation = next_operation(self._chance, self._model)
        perform(store, operation)
        self._model = apply(self._model, operation)

    def _copy(self, number: int) -> Path:
        return Path(shutil.copytree(self._indexes[number], self._folder / f"case {self.counts['cases']}"))

    def _open(self, folder: Path) -> DurableFaissVectorStore:
        # Where an index is expected to be: an emptied table alone in its folder could be a new one otherwise.
        return DurableFaissVectorStore(folder, create=not self._models, **self._options)

    def _count(self, damage: str) -> None:
        self.counts["cases"] += 1
        self.counts[f"cases of {damage}"] += 1


def _problem(store: DurableFaissVectorStore, model: Model, chance: random.Random) -> str | None:
    """Read every node and find every vector by itself; say what is wrong, None where nothing is."""
    if stored_contents(store) != contents(model):
        return "other nodes than were put in"
    vectors = {node_id: entry.vector(node_id) for node_id, entry in model.items()}
    for vector in vectors.values():
        if wrong := search_problem(store, vectors, vector, similarity_top_k=1):
            return wrong
    return search_somewhere(store, model, chance)


@contextmanager
def warnings() -> Iterator[list[str]]:
    """Collect what the store warns of."""
    collected: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            collected.append(record.getMessage())

    handler = Collector(logging.WARNING)
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    try:
        yield collected
    finally:
        logger.removeHandler(handler)
