"""``python -m aigc_fast``: the command ``aigc-fast``."""

from aigc_fast.cli import main

main()
