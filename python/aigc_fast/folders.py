"""The user's folders."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Folder of what can be made or fetched again: ``aigc_fast`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``.

    The variable counts if it is absolute, as the XDG base directory specification asks.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "aigc_fast"
