"""Write python/aigc_fast/_core.pyi from the compiled extension, or check that it is up to date.

    python tools/stubs.py           # write
    python tools/stubs.py --check   # exit 1 and show the difference

The extension of the interpreter that runs this is the one that is read.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

STUB = Path(__file__).parent.parent / "python" / "aigc_fast" / "_core.pyi"


def generate() -> str:
    """Return the stub as pybind11-stubgen and ruff make it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "aigc_fast._core", "--output-dir", folder]
        subprocess.run([*command, "--exit-code"], check=True, stdout=subprocess.DEVNULL)
        made = Path(folder, "aigc_fast", "_core.pyi")
        text = made.read_text()
    for command in (["check", "--select=I,F401,UP", "--fix", "--quiet"], ["format"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, f"--stdin-filename={STUB}", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text


def main() -> int:
    """Write or check the stub."""
    text = generate()
    if "--check" not in sys.argv[1:]:
        STUB.write_text(text)
        return 0
    lines = (STUB.read_text().splitlines(keepends=True), text.splitlines(keepends=True))
    difference = list(difflib.unified_diff(*lines, "committed", "generated"))
    sys.stdout.writelines(difference)
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
