"""Searches on a GPU: arrays by their protocols, memory from the caller's framework, launches by ``aigc_fast._cuda``.

Imported when a call first computes on a GPU (docs/architecture.md, "CUDA").
"""
