"""Run a part of the grid with each instruction set of this machine, against the same peers.

    python -m benchmarks.isas --output docs/figures/isas.json

The library picks its instruction set once, so each one gets a process of its own, with AIGC_FAST_ISA set.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import aigc_fast
from benchmarks import report, results

PART = "--data gaussian --items 100000 --dims 64 128 768 --batch 1 16 256 --k 10 100"
SMALL_PART = "--check --rounds 1"


def main() -> None:
    """Run the processes, print the geometric means, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isas", nargs="+", default=[isa for isa in aigc_fast.available_isas() if isa != "scalar"])
    parser.add_argument("--budget", type=float, default=2.0, help="seconds for each library in a cell")
    parser.add_argument("--output", type=Path, help="JSON file")
    parser.add_argument("--check", action="store_true", help="small cells, for the answers; the times mean nothing")
    options = parser.parse_args()
    gathered: results.Results | None = None
    with tempfile.TemporaryDirectory() as folder:
        for isa in options.isas:
            path = Path(folder, f"{isa}.json")
            part = SMALL_PART if options.check else PART
            command = [sys.executable, "-m", "benchmarks.peers", *part.split(), "--budget", str(options.budget)]
            environment = {**os.environ, "AIGC_FAST_ISA": isa}
            subprocess.run([*command, "--output", str(path)], check=True, env=environment)
            about, records = results.read(path)
            if about["isa"] != isa:
                raise SystemExit(f"AIGC_FAST_ISA={isa} ran {about['isa']}")
            if gathered is None:
                about |= {"benchmark": "isas", "isa": ", ".join(options.isas)}
                gathered = results.Results(about, options.output)
            gathered.add(*({**record, "isa": isa} for record in records))
    if gathered is not None:
        print(report.isas(gathered.about, gathered.records))


if __name__ == "__main__":
    main()
