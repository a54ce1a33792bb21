"""Execute notebooks: for the tests, and from the command line to store fresh outputs in the files.

    python tests/notebooks/notebook_runs.py notebooks/01_quickstart.ipynb notebooks/02_*.ipynb

works offline with what ships, as a reader without a hub would; ``KO_RERANK_HUB=1`` in the environment lets it download.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import nbformat
from nbclient import NotebookClient

NO_NETWORK = Path(__file__).with_name("no_network")
QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm without ipywidgets
}


@dataclass(frozen=True, slots=True)
class Run:
    """An executed notebook: its content, and what it took in seconds of the clock and of processors."""

    notebook: nbformat.NotebookNode
    wall_s: float
    processor_s: float


def execute(path: Path, folder: Path, environment: dict[str, str], *, cell_timeout_s: int = 300) -> Run:
    """Run all cells of a notebook in a fresh kernel with a working directory of its own."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=cell_timeout_s,
        startup_timeout=180,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    started, used = perf_counter(), _processor_s()
    client.execute(env=environment)
    return Run(notebook, perf_counter() - started, _processor_s() - used)


def offline(**more: str) -> dict[str, str]:
    """Give an environment in which nothing leaves this machine."""
    return {**os.environ, **QUIET, "PYTHONPATH": str(NO_NETWORK), "HF_HUB_OFFLINE": "1", **more}


def _processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _store(path: Path) -> None:
    environment = {**os.environ, **QUIET} if os.environ.get("KO_RERANK_HUB") == "1" else offline()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as settings:
        # A list of fonts that matplotlib kept from earlier may lack those installed since.
        run = execute(path, Path(folder), {**environment, "MPLCONFIGDIR": settings})
    run.notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(run.notebook, path)
    sys.stdout.write(
        f"{path.name}: {run.wall_s:.0f} s, processors {run.processor_s:.0f} s, {path.stat().st_size / 1024:.0f} KB\n"
    )


if __name__ == "__main__":
    for name in sys.argv[1:]:
        _store(Path(name))
