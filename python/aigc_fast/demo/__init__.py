"""The demonstration behind ``aigc-fast demo``: data, baselines, training, lists, metrics, feedback, one report."""

from aigc_fast.errors import require

for _module in ("scipy.sparse", "torch", "matplotlib", "jinja2"):
    require(_module, "demo")

from aigc_fast.demo.pipeline import run_demo  # noqa: E402  (name the missing extra first)
from aigc_fast.demo.report import write_report  # noqa: E402
from aigc_fast.demo.results import DemoResult  # noqa: E402
from aigc_fast.demo.settings import DemoSettings  # noqa: E402

__all__ = ["DemoResult", "DemoSettings", "run_demo", "write_report"]
