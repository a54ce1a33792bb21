"""What was worked out before, up to a bound: the entries that nobody asked for longest make room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def text_hash(text: str) -> bytes:
    """Return 16 bytes that stand for a text.

    Source: BLAKE2b with a digest of 128 bits; that two texts share one is as good as impossible.
    """
    return blake2b(text.encode(), digest_size=16).digest()


class LRUCache(Generic[Key, Value]):
    """A mapping that forgets what was not used for longest; safe from several threads.

    Args:
        capacity: The most that all values together may weigh.
        weight: What one value weighs, 0 or more; 1 each where None. A value that outweighs the capacity is not kept.

    >>> cache = LRUCache[str, int](2)
    >>> cache.put("a", 1); cache.put("b", 2); cache.get("a"); cache.put("c", 3)
    1
    >>> cache.get("b") is None, cache.get("a"), len(cache)
    (True, 1, 2)
    """

    def __init__(self, capacity: int, *, weight: Callable[[Value], int] | None = None) -> None:
        self._capacity = capacity
        self._weight = weight or (lambda _: 1)
        self._held: OrderedDict[Key, Value] = OrderedDict()
        self._total = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, None where it is not held."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key]

    def get_all(self, keys: Iterable[Key]) -> dict[Key, Value]:
        """Return the values of those keys that are held."""
        found = ((key, self.get(key)) for key in keys)
        return {key: value for key, value in found if value is not None}

    def put(self, key: Key, value: Value) -> None:
        """Hold a value, in place of an older one of its key, and drop what no longer fits."""
        weight = self._weight(value)
        with self._lock:
            self._drop(key)
            if weight > self._capacity:
                return
            self._held[key] = value
            self._total += weight
            while self._total > self._capacity:
                self._drop(next(iter(self._held)))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
            self._total = 0

    def _drop(self, key: Key) -> None:
        if key in self._held:
            self._total -= self._weight(self._held.pop(key))
