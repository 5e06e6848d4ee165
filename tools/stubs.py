"""Write the stubs of the compiled extensions, python/aigc_fast/_*.pyi, or check that they are up to date.

    python tools/stubs.py           # write
    python tools/stubs.py --check   # exit 1 and show the difference

The extensions of the interpreter that runs this are those that are read.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "python" / "aigc_fast"
EXTENSIONS = ("_core", "_cuda")


def generate(name: str) -> str:
    """Return an extension's stub as pybind11-stubgen and ruff make it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", f"aigc_fast.{name}", "--output-dir", folder]
        subprocess.run([*command, "--exit-code"], check=True, stdout=subprocess.DEVNULL)
        made = Path(folder, "aigc_fast", f"{name}.pyi")
        text = made.read_text()
    for command in (["check", "--select=I,F401,UP", "--fix", "--quiet"], ["format"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, f"--stdin-filename={PACKAGE / name}.pyi", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text


def main() -> int:
    """Write or check the stubs."""
    differences = []
    for name in EXTENSIONS:
        stub, text = PACKAGE / f"{name}.pyi", generate(name)
        if "--check" not in sys.argv[1:]:
            stub.write_text(text)
            continue
        lines = (stub.read_text().splitlines(keepends=True), text.splitlines(keepends=True))
        differences += difflib.unified_diff(*lines, f"{name} committed", f"{name} generated")
    sys.stdout.writelines(differences)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
