"""Data-parallel training: one process a device, started by torchrun, each with its part of every batch.

Nothing is asked of the caller but ``torch.distributed.init_process_group``. All processes hold all pairs and the same
random stream, and average their gradients: the weights are those of one process with the whole batch, up to the
rounding of a sum. Wrapping the networks in DistributedDataParallel would not do: its hooks miss the second
derivatives of the penalties. Without a process group every function here does nothing.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer


def size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if _together() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return not _together() or dist.get_rank() == 0


def own_part(rows: Tensor) -> Tensor:
    """Return this process's part of the rows, whose number is a multiple of the processes'."""
    return rows.chunk(size())[dist.get_rank()] if _together() else rows


def mean(value: Tensor) -> Tensor:
    """Return the mean over the processes."""
    if _together():
        dist.all_reduce(value)
        value /= size()
    return value


def average_gradients(optimizer: Optimizer) -> None:
    """Replace the gradients of the optimizer's parameters by their means over the processes, in one message."""
    if not _together():
        return
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    flat = mean(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, averaged in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(averaged.view_as(gradient))


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
