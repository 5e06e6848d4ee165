"""Check an installation without extras: small, without libraries of CUDA; the import is quick and needs NumPy alone."""

from __future__ import annotations

import importlib.metadata
import re
import statistics
import subprocess
import sys
from pathlib import Path

LIMIT_MS = 100.0
LIMIT_MB = 20.0


def milliseconds(statement: str) -> float:
    """Return the median time of a statement in fresh interpreters that have imported NumPy."""
    code = f"import numpy, time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1e3)"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True) for _ in range(7)]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> None:
    """Raise where a promise is broken."""
    import_time = milliseconds("import aigc_fast")
    import aigc_fast

    heavy = {"scipy", "torch", "matplotlib", "cupy", "typer"} & {name.partition(".")[0] for name in sys.modules}
    if heavy:
        raise SystemExit(f"import aigc_fast also imported {sorted(heavy)}")
    if "aigc_fast._cuda" in sys.modules:
        raise SystemExit("import aigc_fast also imported its CUDA part")
    import aigc_fast._cuda

    libraries = set(re.findall(r"/lib(?:cuda|cublas|nv)[^/]*$", Path("/proc/self/maps").read_text(), re.MULTILINE))
    if libraries:
        raise SystemExit(f"aigc_fast._cuda needs {sorted(libraries)}")
    if not Path(aigc_fast.__file__).with_name("kernels").joinpath("kernels.cu").exists():
        raise SystemExit("the sources of the CUDA kernels are not there: NVRTC has nothing to compile")
    size = sum(Path(file.locate()).stat().st_size for file in importlib.metadata.files("aigc-fast") or ()) / 1e6
    if size > LIMIT_MB:
        raise SystemExit(f"the installation takes {size:.1f} MB, more than {LIMIT_MB:.0f}")
    if import_time > LIMIT_MS:
        raise SystemExit(f"import aigc_fast took {import_time:.0f} ms beyond NumPy, more than {LIMIT_MS:.0f}")
    top = aigc_fast.cosine_topk([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 2)
    if top.ids.tolist() != [[0, 2]]:
        raise SystemExit(f"a first search gave {top}")
    auto = aigc_fast.cosine_topk([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 2, device="auto")
    if auto.ids.tolist() != [[0, 2]]:
        raise SystemExit(f"device='auto' gave {auto}")
    for part, extra in (("gan", "gan"), ("recommender", "recommender"), ("data", "recommender")):
        try:
            getattr(aigc_fast, part)
        except aigc_fast.MissingExtraError as error:
            if f"aigc-fast[{extra}]" not in str(error):
                raise SystemExit(f"aigc_fast.{part} without its extra said: {error}") from None
        else:
            raise SystemExit(f"aigc_fast.{part} was imported without its extra: is this a bare installation?")
    print(
        f"import aigc_fast: {import_time:.1f} ms beyond NumPy, nothing but NumPy, isa {aigc_fast.isa()}; {size:.1f} MB"
    )


if __name__ == "__main__":
    main()
