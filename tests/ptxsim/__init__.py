"""A simulator of PTX in NumPy: runs what nvcc or NVRTC compiled, where there is no GPU.

It executes one warp at a time, in random order, completes asynchronous copies no earlier than their wait, and faults on
accesses out of bounds, misaligned or of undefined memory, on races between warps and between blocks, and on divergent
barriers. It knows the instructions that this library's kernels use and says so where it meets another. It does not
model weak memory order between blocks, time, or instructions of approximate results.
"""

from .machine import Machine, Program
from .memory import Fault, Heap
from .parser import UnsupportedError, kernel_names

__all__ = ["Fault", "Heap", "Machine", "Program", "UnsupportedError", "kernel_names"]
