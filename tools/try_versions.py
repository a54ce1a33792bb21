"""Run the fast tests on other versions than the locked ones, in an environment that is thrown away.

    python tools/try_versions.py constraints-lowest.txt
    python tools/try_versions.py

The second takes the newest versions that ``pyproject.toml`` allows. torch stays at its CPU build in both: without a
pin, pip fetches gigabytes of CUDA libraries.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from lock import ROOT, TORCH, fresh_python


def main() -> int:
    """Install, print the versions, and return the exit code of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        python = fresh_python(Path(folder))
        constraints = ROOT / sys.argv[1] if len(sys.argv) > 1 else Path(folder) / "torch.txt"
        if len(sys.argv) == 1:
            constraints.write_text(f"torch=={TORCH}\n", encoding="utf-8")
        install = ["install", "--quiet", "--constraint", str(constraints), "--editable", f"{ROOT}[dev]"]
        subprocess.run([str(python), "-m", "pip", *install], check=True)
        subprocess.run([str(python), "-m", "pip", "freeze", "--exclude-editable"], check=True)
        return subprocess.run([str(python), "-m", "pytest", "-n", "2"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
