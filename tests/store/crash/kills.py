"""A writer killed with SIGKILL again and again, and what the next opening finds."""

from __future__ import annotations

import logging
import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.errors import StoreError
from llama_index_ko_rerank.store import DurableFaissVectorStore
from tests.store.crash.model import DIMENSION, Model, contents, search_problem, stored_contents
from tests.store.crash.operations import CHANGES, Operation, apply, group_is, next_operation, perform

PRELOADED = ["llama_index_ko_rerank.store.vector_store", "pytest"]
"""What the server that children are forked from imports once; it opens no store."""

PATIENCE_SECONDS = 60
KILLS_A_FOLDER = 25
Message = tuple[str, Any]


def forkserver() -> Any:
    """Return the context that starts children within milliseconds, from a process that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def change_until_killed(folder: Path, options: dict[str, Any], model: Model, seed: int, pipe: Connection) -> None:
    """Change a store for ever, and say on the pipe what is tried, and that it is done once the call has returned."""
    logging.getLogger("llama_index_ko_rerank").addHandler(logging.NullHandler())
    chance = random.Random(seed)
    store = DurableFaissVectorStore(folder, **options)
    pipe.send(("did", ("open", None)))
    while True:
        operation = next_operation(chance, model)
        pipe.send(("try", operation))
        if operation[0] == "search":
            wrong = search_somewhere(store, model, chance)
            assert not wrong, wrong
        elif operation[0] == "reopen":
            store.close()
            store = DurableFaissVectorStore(folder, create=False, **options)
        else:
            perform(store, operation)
        model = apply(model, operation)
        pipe.send(("did", operation))


def search_somewhere(store: Any, model: Model, chance: random.Random) -> str | None:
    """Search from a random place, among all nodes and in one group; return what is wrong, None where nothing is."""
    query = [chance.gauss(0, 1) for _ in range(DIMENSION)]
    group = chance.randrange(3)
    everywhere = {node_id: entry.vector(node_id) for node_id, entry in model.items()}
    in_group = {node_id: everywhere[node_id] for node_id, entry in model.items() if entry.group == group}
    wanted = chance.choice([1, 10, len(model) + 5])
    return search_problem(store, everywhere, query, similarity_top_k=wanted) or search_problem(
        store, in_group, query, similarity_top_k=wanted, filters=group_is(group)
    )


class KillHarness:
    """Kill writers of one folder, and check after each what is there.

    Attributes:
        model: What the folder holds for certain.
        counts: How many kills, acknowledged changes, and so on.
        problems: One line for everything that was lost, half there, or found wrongly.
    """

    def __init__(self, folder: Path, options: dict[str, Any], *, seed: int) -> None:
        self.folder = folder
        self.model: Model = {}
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._options = options
        self._chance = random.Random(seed)
        self._processes = forkserver()
        self._witness: DurableFaissVectorStore | None = None
        self._is_new = True
        self._lost_something = False

    def kill_once(self) -> None:
        """Let a writer work, kill it at a random moment, open the folder and compare."""
        if self._lost_something or self.counts["kills"] % KILLS_A_FOLDER == KILLS_A_FOLDER - 1:
            self._begin_again()
        receiver, sender = self._processes.Pipe(duplex=False)
        writer = self._processes.Process(
            target=change_until_killed,
            args=(self.folder, self._options, self.model, self._chance.randrange(2**32), sender),
            daemon=True,
        )
        writer.start()
        sender.close()
        messages = self._wait_for_the_moment(receiver)
        writer.kill()
        messages += _rest(receiver)
        writer.join(PATIENCE_SECONDS)
        self.counts["kills"] += 1
        if writer.exitcode != -signal.SIGKILL:
            self._complain(f"the writer ended by itself with exit code {writer.exitcode}")
        in_flight = self._replay(messages)
        self._compare(in_flight)

    def _wait_for_the_moment(self, receiver: Connection) -> list[Message]:
        """Wait for a random while: sometimes while the store is opened or made, otherwise into a random operation."""
        in_opening = self._chance.random() < (1 / 2 if self._is_new else 1 / 8)
        self._is_new = False
        if in_opening:
            time.sleep(self._chance.uniform(0, 0.03))
            return []
        messages = []
        for _ in range(self._chance.randint(2, 16)):
            if not receiver.poll(PATIENCE_SECONDS):
                self._complain("the writer stood still")
                break
            try:
                messages.append(receiver.recv())
            except EOFError:
                break
        time.sleep(self._chance.uniform(0, 0.012))
        return messages

    def _replay(self, messages: Sequence[Message]) -> Operation | None:
        """Apply what was acknowledged, and return what was under way."""
        in_flight: Operation | None = ("open", None)
        for state, operation in messages:
            if state == "try":
                in_flight = operation
                continue
            in_flight = None
            self.model = apply(self.model, operation)
            self.counts["acknowledged changes"] += operation[0] in CHANGES
        self.counts[f"killed in {in_flight[0] if in_flight else 'between'}"] += 1
        return in_flight

    def _compare(self, in_flight: Operation | None) -> None:
        try:
            store = DurableFaissVectorStore(self.folder, **self._options)
            self._settle(stored_contents(store), in_flight)
            self._check(store)
            if self._witness:
                self.counts["checks by a store that was open all the time"] += 1
                self._check(self._witness)
        except StoreError as error:
            self._complain(f"{error!r}")
            return
        self.close()
        self._witness = store
        if self._chance.random() < 1 / 2:
            self.close()

    def close(self) -> None:
        """Close the store that watches while the next writer works; without one SQLite has merged its log."""
        if self._witness:
            self._witness.close()
        self._witness = None

    def _check(self, store: DurableFaissVectorStore) -> None:
        if store.count != len(self.model):
            self._complain(f"count is {store.count} of {len(self.model)}")
        if stored_contents(store) != contents(self.model):
            self._complain("two stores on one folder differ")
        if wrong := search_somewhere(store, self.model, self._chance):
            self._complain(wrong)

    def _complain(self, problem: str) -> None:
        self._lost_something = True
        self.problems.append(f"kill {self.counts['kills']}: {problem}")

    def _begin_again(self) -> None:
        """Go on in a folder that does not exist yet, so that the making of an index is interrupted too."""
        self.close()
        self.folder = self.folder.with_name(f"{self.folder.name}-{self.counts['kills']}")
        self.model = {}
        self._is_new = True
        self._lost_something = False

    def _settle(self, stored: Sequence[tuple[Any, ...]], in_flight: Operation | None) -> None:
        """Find out whether what was under way is there; it is there whole or not at all."""
        after = apply(self.model, in_flight) if in_flight and in_flight[0] in CHANGES else self.model
        if stored == contents(self.model):
            self.counts["changes in flight that are not there"] += after != self.model
        elif stored == contents(after):
            self.counts["changes in flight that are there whole"] += 1
            self.model = after
        else:
            self._complain(f"{in_flight}: the nodes are neither those before nor those after")


def _rest(receiver: Connection) -> list[Message]:
    """Read what a killed writer has left in the pipe; a message that it had not finished was never sent."""
    messages = []
    try:
        while True:
            messages.append(receiver.recv())
    except (EOFError, OSError):
        receiver.close()
    return messages
