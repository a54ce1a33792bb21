"""Many kills, many full disks, many damaged files, spread over the kinds of index, and added up."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.store.crash.damage import DAMAGES, TABLE_DAMAGES, DamageHarness
from tests.store.crash.full_disk import FullDiskHarness
from tests.store.crash.kills import KillHarness
from tests.store.crash.space import SHORTAGES

KINDS: dict[str, dict[str, Any]] = {
    "automatic": {},
    "ivf": {"index_settings": {"kind": "ivf", "ivf_probed_share": 1.0}},
    "ivf of two lists": {"index_settings": {"kind": "ivf", "ivf_lists": 2, "ivf_probed_share": 1.0}},
}
"""Options of the store by the name of the kind; approximate kinds look at everything, so that they can be compared."""

Report = dict[str, Any]


def kill_writers(folder: Path, kills: int, *, seed: int) -> Report:
    """Kill writers, taking turns between folders of all kinds of index."""
    harnesses = [KillHarness(folder / kind, options, seed=seed + n) for n, (kind, options) in enumerate(KINDS.items())]
    for harness in itertools.islice(itertools.cycle(harnesses), kills):
        harness.kill_once()
    for harness in harnesses:
        harness.close()
    return _report(harnesses)


def fill_disks(folder: Path, cases: int, *, seed: int) -> Report:
    """Run writers out of space, taking turns between the kinds of shortage that this system allows."""
    harnesses = {
        kind: FullDiskHarness(folder / kind, options, seed=seed + n) for n, (kind, options) in enumerate(KINDS.items())
    }
    # Python syncs snapshots only, and a small index of the automatic kind has none.
    turns = [turn for turn in itertools.product(SHORTAGES, harnesses) if turn != ("sync limit", "automatic")]
    impossible: dict[str, str] = {}
    for shortage, kind in itertools.cycle(turns):
        if sum(harness.counts["cases"] for harness in harnesses.values()) == cases:
            break
        if shortage not in impossible:
            harnesses[kind].run_case(shortage)
            impossible |= harnesses[kind].impossible
    return _report(list(harnesses.values())) | {"not possible on this system": impossible}


def damage_snapshots(folder: Path, cases: int, *, seed: int) -> Report:
    """Damage snapshots, taking turns between the kinds of index that have any."""
    harnesses = _damage_harnesses(folder, [kind for kind in KINDS if kind != "automatic"], seed)
    for damage, harness in itertools.islice(itertools.cycle(itertools.product(DAMAGES, harnesses)), cases):
        harness.damage_snapshot(damage)
    return _report(harnesses)


def damage_tables(folder: Path, cases: int, *, seed: int, damages: Sequence[str] = TABLE_DAMAGES) -> Report:
    """Damage tables, which nothing can rebuild; lost is every case in which a result was wrong without an error."""
    harnesses = _damage_harnesses(folder, list(KINDS), seed)
    for damage, harness in itertools.islice(itertools.cycle(itertools.product(damages, harnesses)), cases):
        harness.damage_table(damage)
    return _report(harnesses)


def _damage_harnesses(folder: Path, kinds: Sequence[str], seed: int) -> list[DamageHarness]:
    return [DamageHarness(folder / kind, KINDS[kind], seed=seed + number) for number, kind in enumerate(kinds)]


def _report(harnesses: Sequence[Any]) -> Report:
    counts: Counter[str] = sum((harness.counts for harness in harnesses), Counter())
    problems = [problem for harness in harnesses for problem in harness.problems]
    return {**dict(sorted(counts.items())), "lost": len(problems), "problems": problems}
