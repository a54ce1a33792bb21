"""Tables of these pages from the results in `benchmarks/`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scale.costs import costs_table
from llama_index_ko_rerank.evaluate.report import markdown_table

RESULTS = Path(__file__).parent


def chat_load_table() -> str:
    """Write how long the page takes, alone and with many users."""
    result = _result("chat/load")
    first, load = result["first_answer"], result["load"]
    memory = load["memory_mib"]
    return _lines(
        ["", "measured"],
        [
            ("passages", f"{result['passages']:,}"),
            (f"first answer in a new tab, median of {first['questions']}", f"{first['median_s']:.2f} s"),
            (f"answers with {load['users']} users asking for {load['seconds']:.0f} s", str(load["answers"])),
            ("errors", str(len(load["errors"]))),
            ("median and 95th percentile then", f"{load['p50_s']:.1f} s, {load['p95_s']:.1f} s"),
            ("memory of the server, before and after", f"{memory['after_warm_up']:,.0f}, {memory['at_end']:,.0f} MiB"),
        ],
    )


def serve_load_table() -> str:
    """Write what many clients get of the service beside one request at a time."""
    result = _result("serve/load")
    rows = [
        (
            f"{size.replace(' x ', ' candidates of ')} characters",
            f"{figures['one_at_a_time']['per_second']:,.0f}",
            f"{figures['many_clients']['per_second']:,.0f}",
            f"{figures['times_throughput']:.2f}",
            f"{figures['many_clients']['p95_ms']:,.0f}",
        )
        for size, figures in result["sizes"].items()
    ]
    mixed = result["mixed"]
    repeated = f"a mix, {mixed['repeated_share']:.0%} repeated, {result['settings']['seconds']} s"
    rows.append((repeated, "", f"{mixed['per_second']:,.0f}", "", f"{mixed['p95_ms']:,.0f}"))
    many = f"{result['settings']['clients']} clients"
    return _lines(["a request", "one at a time, /s", f"{many}, /s", "times", f"{many}, p95 ms"], rows)


def ray_table() -> str:
    """Write how fast Ray indexes beside one process, and what differs between the two indexes."""
    result = _result("scale/ray")
    one, ray, same = result["one_process"], result["ray"], result["same"]
    missing = same["only_in_one"] + same["only_on_ray"] + same["twice"] + same["different_content"]
    return _lines(
        [f"{result['passages']:,} statutes, {result['model']}", "one process", f"Ray, {result['workers']} workers"],
        [
            ("seconds", f"{one['seconds']:,.1f}", f"{ray['seconds']:,.1f}"),
            ("passages a second", _per_second(one), _per_second(ray)),
            ("until the first are written, s", "", f"{ray['seconds_to_the_first_written_block']:,.1f}"),
            ("passages a second from then on", "", f"{ray['passages_per_s_once_flowing']:,.0f}"),
            ("seconds with the start of Ray", "", f"{ray['seconds_with_the_start_of_ray']:,.1f}"),
            ("lost, there twice, or different", "", str(missing)),
            ("largest difference of a number", "", f"{same['largest_difference_of_a_number']:.0e}"),
        ],
    )


def scale_costs_table() -> str:
    """Write what many passages cost."""
    return f"{costs_table()}\n"


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"{markdown_table(head, rows)}\n"


def _per_second(figures: Mapping[str, float]) -> str:
    return f"{figures['passages_per_s']:,.0f}"


def _result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
