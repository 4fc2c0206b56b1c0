"""Training in several processes: the few exchanges that it takes.

Started by `torchrun --nproc-per-node N -m pairx_sample_data.train ...`; without it there is one process and
nothing here does anything. Single-threaded processes that meet once a step get more done on a busy machine
than threads do.
"""

from __future__ import annotations

import os
from typing import Iterable, Tuple

import torch
from torch import distributed


def connect() -> Tuple[int, int]:
    """This process's number and the number of processes."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def disconnect() -> None:
    """Leave the group of processes; a process that ends without doing so may end with an error."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def wait_for_all(world: int) -> None:
    """Return when every process has come here."""
    if world > 1:
        distributed.barrier()


def average(tensors: Iterable[torch.Tensor], world: int) -> None:
    """Replace each float32 tensor by its mean over the processes, in place."""
    if world == 1:
        return
    parts = list(tensors)
    flat = torch.cat([part.reshape(-1) for part in parts])
    distributed.all_reduce(flat)
    flat /= world
    begin = 0
    for part in parts:
        part.copy_(flat[begin : begin + part.numel()].view_as(part))
        begin += part.numel()


def from_others(tensor: torch.Tensor, rank: int, world: int) -> torch.Tensor:
    """The same tensor of every other process, without gradient, along the first axis."""
    if world == 1:
        return tensor[:0].detach()
    gathered = [torch.empty_like(tensor) for _ in range(world)]
    distributed.all_gather(gathered, tensor.detach().contiguous())
    return torch.cat([part for number, part in enumerate(gathered) if number != rank])
