"""Write the versions that are tested: `make lock`.

    python tools/lock.py

resolves ``.[dev]`` with a current pip in an empty environment, installing nothing, and writes

- ``constraints.txt``: every package at its newest allowed version. It holds versions only: with one hash in a
  constraints file pip 23.2 and 26.3 refuse the editable project, "because there is no single file to hash".
- ``requirements.lock``: the same packages with the sha256 of the files for CPython 3.11 on Linux x86-64. It leaves out
  torch, whose builds for the processor and for CUDA share a version and differ in their hashes.
- ``constraints-lowest.txt``: every direct dependency at its floor in ``pyproject.toml``, and what resolves beside them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = "2.13.0"
"""The release whose CPU build the project is measured on; with no pin, pip fetches gigabytes of CUDA libraries."""

PROJECT = "llama-index-ko-rerank"


def main() -> None:
    """Resolve both ends of the ranges and write the three files."""
    with tempfile.TemporaryDirectory() as folder:
        python = fresh_python(Path(folder))
        newest = resolve(python, [f"torch=={TORCH}"], Path(folder))
        lowest = resolve(python, floors(), Path(folder))
    _write("constraints.txt", "# Every package as tested, made by `make lock`; torch is its CPU build.", newest)
    _write(
        "constraints-lowest.txt",
        "# The floors of pyproject.toml and what resolves beside them, made by `make lock`.",
        lowest,
    )
    lines = [
        f"{name}=={version} --hash=sha256:{digest}" for name, version, digest in newest if digest and name != "torch"
    ]
    header = (
        "# The packages of constraints.txt but torch, with sha256 for CPython 3.11 on Linux x86-64, by `make lock`.\n"
        f"# pip install torch=={TORCH}, then: pip install --no-deps --require-hashes -r requirements.lock"
    )
    (ROOT / "requirements.lock").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def floors() -> list[str]:
    """Return one pin for each direct dependency of the project and of its extras: the lowest version that it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    pins = {}
    for requirement in declared:
        found = re.match(r"([\w.-]+)(?:\[[\w,.-]+\])?(?:>=|==)([\w.]+)", requirement)
        if found:
            pins[found[1].lower()] = f"{found[1]}=={found[2]}"
    return sorted(pins.values(), key=str.lower)


def resolve(python: Path, pins: list[str], folder: Path) -> list[tuple[str, str, str]]:
    """Let pip choose every package within the ranges and the pins.

    Returns:
        Name, version without a local part, and sha256 (empty where the index gives none), by name.
    """
    report, constraints = folder / "report.json", folder / "constraints.txt"
    constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
    command = [
        str(python), "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
        "--report", str(report), "--constraint", str(constraints), "--editable", f"{ROOT}[dev]",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    found = []
    for entry in json.loads(report.read_text(encoding="utf-8"))["install"]:
        name = re.sub(r"[-_.]+", "-", entry["metadata"]["name"]).lower()
        if name != PROJECT:
            digest = entry["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", "")
            found.append((name, entry["metadata"]["version"].partition("+")[0], digest))
    return sorted(found)


def fresh_python(folder: Path) -> Path:
    """Make an empty environment with a current pip, and return its interpreter."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True)
    return python


def _write(name: str, header: str, packages: list[tuple[str, str, str]]) -> None:
    lines = [f"{package}=={version}" for package, version, _ in packages]
    (ROOT / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
