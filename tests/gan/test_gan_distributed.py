"""Two processes with half of each batch learn what one learns with all of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from aigc_fast.gan import ContentGAN, distributed

from .small import draw_pairs, small_gan

#: As a user would write it for torchrun, which sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
SCRIPT = """
import sys
from pathlib import Path

import torch.distributed as dist

from aigc_fast.gan import ContentGAN

sys.path.insert(0, {tests!r})
from gan.small import draw_pairs, small_gan

dist.init_process_group("gloo")
folder = Path({folder!r})
gan = small_gan(**{settings!r}).fit(*draw_pairs(200, seed=0), checkpoint_dir=folder / "checkpoints", progress=True)
gan.save(folder / f"{{dist.get_rank()}}.safetensors")
dist.destroy_process_group()
"""


def run_two(tmp_path: Path, **settings) -> list[subprocess.CompletedProcess]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = SCRIPT.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path), settings=settings)
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=os.environ | together | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *output)
        for process in processes
        for output in [process.communicate(timeout=120)]
    ]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch was built without distributed training")
def test_two_processes_learn_what_one_does(tmp_path):
    settings = {"n_codes": 2, "pack": 2}
    ran = run_two(tmp_path, **settings)
    assert [process.returncode for process in ran] == [0, 0], ran[0].stderr + ran[1].stderr
    one = small_gan(**settings).fit(*draw_pairs(200, seed=0), progress=False)
    first, second = (ContentGAN.load(tmp_path / f"{rank}.safetensors") for rank in range(2))
    for name, tensor in first._state.snapshot().tensors.items():
        assert torch.equal(tensor, second._state.snapshot().tensors[name]), name  # in step, bit for bit
    assert first.history_ == second.history_
    conditions = draw_pairs(30, seed=5)[1]
    # The two halves of a sum are rounded apart; Adam can turn that into a step where a gradient is near 0.
    np.testing.assert_allclose(first.generate(conditions), one.generate(conditions), atol=0.02)
    np.testing.assert_allclose(first.history_["generator_loss"], one.history_["generator_loss"], atol=0.01)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint.safetensors"]
    assert "step" in ran[0].stderr  # one bar
    assert "step" not in ran[1].stderr


def test_alone_nothing_is_shared():
    rows = torch.arange(6)
    assert distributed.size() == 1
    assert distributed.is_first()
    assert distributed.own_part(rows) is rows
    assert distributed.mean(rows) is rows
