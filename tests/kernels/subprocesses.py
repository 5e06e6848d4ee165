"""Python programs in processes of their own: for environment variables, forks, signals and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import aigc_fast

# Forking a process with threads is what is tested; Python 3.12 and later warn about it.
_COMMAND = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c"]


def environment(**variables: str) -> dict[str, str]:
    """This environment, with the tested package first on the path and nothing else that steers it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIGC_FAST_")}
    path = [str(Path(aigc_fast.__file__).parent.parent), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(path)} | variables


def run_python(code: str, *, timeout: float = 120, **variables: str) -> str:
    """Run a program that must succeed within `timeout` seconds; return what it prints."""
    done = subprocess.run(
        [*_COMMAND, code], env=environment(**variables), capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def failing_python(code: str, *, timeout: float = 60, **variables: str) -> str:
    """Run a program that must fail; return the last line of its traceback."""
    done = subprocess.run(
        [*_COMMAND, code], env=environment(**variables), capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 1, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stderr.strip().splitlines()[-1]


def start_python(code: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*_COMMAND, code], env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
