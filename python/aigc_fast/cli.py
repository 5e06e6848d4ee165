"""The command ``aigc-fast``: entry point, errors and exit codes. The commands themselves are in ``commands``.

Exit codes: 0 done; 2 a wrong argument, a broken file, a missing part (one line on standard error); 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from aigc_fast.errors import MissingExtraError, require

FAILED, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments
        Without the name of the program; None: those of the process.

    Raises
    ------
    SystemExit
        Always, with the exit code.
    """
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit code. An error that a user can cause becomes one line."""
    try:
        for module in ("typer", "rich"):
            require(module, "demo")
        import typer

        import aigc_fast
        from aigc_fast.commands import InterruptedTrainingError, app

        aigc_fast.isa(), aigc_fast.get_num_threads()  # wrong settings in the environment are errors now, not later
        try:
            code: int = app(args=list(arguments) or ["--help"], prog_name="aigc-fast", standalone_mode=False) or 0
        except InterruptedTrainingError as interruption:
            return _fail(str(interruption), INTERRUPTED)
        except typer.Abort:  # what some versions of the parser make of Ctrl-C; others return the code
            code = INTERRUPTED
        return _fail("interrupted", INTERRUPTED) if code == INTERRUPTED else code
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except Exception as error:
        message = _message(error)
        if message is None:
            raise  # a fault of the program: the traceback is what helps
        return _fail(message)


def _message(error: Exception) -> str | None:
    """Return what to tell the user, or None for an error that no user causes."""
    if hasattr(error, "format_message"):  # a usage error of the command-line parser
        return str(error.format_message())
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}"
    gan = sys.modules.get("aigc_fast.gan")  # nothing else raises its errors
    expected = (MissingExtraError, OSError, ValueError, *((gan.NonFiniteLossError,) if gan else ()))
    return (str(error) or type(error).__name__) if isinstance(error, expected) else None


def _fail(message: str, code: int = FAILED) -> int:
    print(f"aigc-fast: {' '.join(message.split())}", file=sys.stderr)
    return code
