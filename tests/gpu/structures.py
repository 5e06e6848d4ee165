"""What kernels are given (``cuda/kernels/search.h``), for tests that look into a device's memory."""

from __future__ import annotations

import ctypes

import numpy as np

CODE_ROWS = 64  # share a scale
BLOCK = np.dtype(
    [
        ("scale", "f4"),
        ("inverse_scale", "f4"),
        ("residual", "f4"),
        ("reach", "f4"),
        ("coded", "u8"),
        ("unbounded", "u8"),
    ]
)
QUERY_CODE = np.dtype([("scale", "f4"), ("sigma", "f4"), ("offset", "f4")])


class Rows(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_uint64),
        ("row_stride", ctypes.c_int64),
        ("column_stride", ctypes.c_int64),
        ("rows", ctypes.c_uint32),
        ("dim", ctypes.c_uint32),
    )


class Search(ctypes.Structure):
    _fields_ = (
        ("items", Rows),
        *((name, ctypes.c_int32) for name in ("metric", "as_f64")),
        *((name, ctypes.c_uint32) for name in ("queries", "panel")),
        ("mode", ctypes.c_int32),
        *((name, ctypes.c_uint64) for name in ("values", "vectors", "info", "cutoffs", "measures", "names")),
        *((name, ctypes.c_uint64) for name in ("exclude_indptr", "exclude_ids", "allow_indptr", "allow_ids")),
        *((name, ctypes.c_uint64) for name in ("allowed", "thresholds", "after_scores", "after_ids")),
        *((name, ctypes.c_uint32) for name in ("tiles", "tile_step", "k", "capacity")),
        *((name, ctypes.c_uint64) for name in ("scores", "ids", "kept", "counts")),
        *((name, ctypes.c_uint64) for name in ("indptr", "hit_scores", "hit_ids")),
    )


class Codes(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("items", "blocks", "queries", "fine", "query_codes")),
        ("hit_capacity", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("hits", "hit_counts")),
    )
