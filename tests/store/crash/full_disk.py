"""What a store does while there is no space, once there is space again, and after the next opening."""

from __future__ import annotations

import logging
import os
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.errors import StoreError
from llama_index_ko_rerank.store import DurableFaissVectorStore
from tests.store.crash.kills import PATIENCE_SECONDS, forkserver, search_somewhere
from tests.store.crash.model import Model, contents, stored_contents
from tests.store.crash.operations import CHANGES, Operation, apply, next_operation, perform
from tests.store.crash.space import SHORTAGES

MOST_TRIES = 40
REFUSALS = 3


class ShortWriter:
    """A process that changes a store before, during and after a shortage of space, and tells on a pipe.

    A change that raised must have left everything as it was, to this store at once and to every later one.
    """

    def __init__(self, folder: Path, shortage: str, options: dict[str, Any], seed: int, pipe: Connection) -> None:
        self._chance = random.Random(seed)
        self._space = SHORTAGES[shortage](folder, self._chance)
        self._options = options
        self._pipe = pipe
        self._model: Model = {}
        self._store: DurableFaissVectorStore | None = DurableFaissVectorStore(self._space.folder, **options)

    def run(self) -> None:
        """Work with space, without, and with it again; then end as if killed, or orderly."""
        for _ in range(self._chance.randint(1, 6)):
            self._do(self._next())
        self._space.arm()
        refused = self._work_without_space()
        self._space.relieve()
        for operation in refused:
            self._do(operation)
        if self._chance.random() < 1 / 2:
            self._do(("reopen", None))
        self._space.leave()
        os._exit(0)

    def _work_without_space(self) -> list[Operation]:
        refused = []
        for _ in range(MOST_TRIES):
            operation = self._next()
            try:
                self._do(operation)
            except StoreError as error:
                self._pipe.send(("refused", operation, f"{type(error).__name__}: {error}"))
                refused.append(operation)
                self._look_again()
            if len(refused) == REFUSALS:
                break
        return refused

    def _next(self) -> Operation:
        return next_operation(self._chance, self._model)

    def _do(self, operation: Operation) -> None:
        self._pipe.send(("try", operation, ""))
        if operation[0] == "reopen" or self._store is None:
            self._reopen()
        if operation[0] == "search":
            self._tell(search_somewhere(self._store, self._model, self._chance))
        elif operation[0] != "reopen":
            perform(self._store, operation)
        self._model = apply(self._model, operation)
        self._pipe.send(("did", operation, ""))

    def _reopen(self) -> None:
        if self._store is not None:
            self._store.close()
        self._store = None
        self._store = DurableFaissVectorStore(self._space.folder, create=False, **self._options)

    def _look_again(self) -> None:
        """Read and search everything after a refusal, without any space."""
        if self._store is None:
            with suppress(StoreError):
                self._reopen()
            return
        if stored_contents(self._store) != contents(self._model):
            self._tell("a refused change left something behind")
        self._tell(search_somewhere(self._store, self._model, self._chance))

    def _tell(self, problem: str | None) -> None:
        if problem:
            self._pipe.send(("problem", ("search", None), problem))


def run_short_of_space(folder: Path, shortage: str, options: dict[str, Any], seed: int, pipe: Connection) -> None:
    """Be a `ShortWriter`, where the system allows this kind of shortage."""
    logging.getLogger("llama_index_ko_rerank").addHandler(logging.NullHandler())
    try:
        writer = ShortWriter(folder, shortage, options, seed, pipe)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        pipe.send(("impossible", ("open", None), str(error)))
        return
    writer.run()


class FullDiskHarness:
    """Run writers out of space in folders of their own, and check each folder afterwards.

    Attributes:
        counts: Cases by kind, refusals by what was refused, and so on.
        problems: One line for everything that was lost, half there, or found wrongly.
        impossible: Kinds of shortage that this system does not allow, with its reason.
    """

    def __init__(self, folder: Path, options: dict[str, Any], *, seed: int) -> None:
        self._folder = folder
        self._options = options
        self._chance = random.Random(seed)
        self._processes = forkserver()
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.impossible: dict[str, str] = {}

    def run_case(self, shortage: str) -> None:
        """Let one writer run out of space, open what it has left, and compare."""
        folder = self._folder / f"case {self.counts['cases']}"
        receiver, sender = self._processes.Pipe(duplex=False)
        arguments = (folder, shortage, self._options, self._chance.randrange(2**32), sender)
        writer = self._processes.Process(target=run_short_of_space, args=arguments, daemon=True)
        writer.start()
        sender.close()
        messages = self._listen(receiver)
        writer.join(PATIENCE_SECONDS)
        if messages and messages[0][0] == "impossible":
            self.impossible[shortage] = messages[0][2]
            return
        self.counts["cases"] += 1
        self.counts[f"cases of {shortage}"] += 1
        if writer.exitcode != 0:
            self._complain(f"{shortage}: the writer ended with exit code {writer.exitcode} after {messages[-1:]}")
            return
        self._compare(folder, self._replay(messages))

    def _listen(self, receiver: Connection) -> list[tuple[str, Operation, str]]:
        messages = []
        with suppress(EOFError):
            while receiver.poll(PATIENCE_SECONDS):
                messages.append(receiver.recv())
        return messages

    def _replay(self, messages: Sequence[tuple[str, Operation, str]]) -> Model:
        model: Model = {}
        for state, operation, what in messages:
            if state == "did":
                model = apply(model, operation)
                self.counts["acknowledged changes"] += operation[0] in CHANGES
            elif state == "refused":
                self.counts["refusals"] += 1
                self.counts[f"refused {operation[0]}"] += 1
            elif state == "problem":
                self._complain(what)
        self.counts["cases without a refusal"] += all(state != "refused" for state, _, _ in messages)
        return model

    def _compare(self, folder: Path, model: Model) -> None:
        try:
            with DurableFaissVectorStore(folder, create=False, **self._options) as store:
                if stored_contents(store) != contents(model):
                    self._complain("what is there is not what was acknowledged")
                if wrong := search_somewhere(store, model, self._chance):
                    self._complain(wrong)
        except StoreError as error:
            self._complain(repr(error))

    def _complain(self, problem: str) -> None:
        self.problems.append(f"case {self.counts['cases']}: {problem}")
