"""The errors that name a missing part; wrong arguments raise ValueError or TypeError."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message gives the command that installs it."""


class CudaUnavailable(RuntimeError):  # noqa: N818  (a state of the machine)
    """No GPU can be used; the message names the cause (driver, device, image, forked process) and the fix."""


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or say which extra of this package brings it.

    Parameters
    ----------
    module
        Dotted name of the module to import.
    extra
        The extra of ``aigc-fast`` that installs it, as in ``pip install 'aigc-fast[extra]'``.

    Raises
    ------
    MissingExtraError
        The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != package:
            raise  # the module is there; something that it imports is not
        raise MissingExtraError(
            f"{package} is not installed; it comes with: pip install 'aigc-fast[{extra}]'", name=package
        ) from None
