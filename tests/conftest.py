"""What all tests share: the hypothesis profiles (HYPOTHESIS_PROFILE=thorough for a long search)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Shared machines stall: no deadline, and slow generation of large arrays is no error.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}

settings.register_profile("ci", derandomize=True, max_examples=40, **_COMMON)
settings.register_profile("thorough", max_examples=500, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
