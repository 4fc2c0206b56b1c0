"""Train the sample network from scratch: `python -m pairx_sample_data.train --work FOLDER`.

Renders the training individuals once (or finds them in FOLDER), trains with ArcFace in stages of growing
image size, and after every epoch writes the checkpoint, its configuration, the log and the figures (at the
size just trained at; those of the finished network are measured at the size that users are told to use).
Interrupted, the same command goes on after the last finished epoch. `torchrun --nproc-per-node 2 -m ...`
shares the work between two processes.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch

from pairx_plugin.atomic_files import replacing

from . import path_of
from .arcface import ArcFace, batch_loss, mean_directions
from .augmentation import training_batch
from .coat_reading import CoatReader, coat_pictures
from .chip_store import ChipStore, half_size, render_store
from .measuring import measure
from .network import MODEL_NAME, EmbeddingNetwork, load_network
from .population import individuals
from .plan import Plan, Stage, rate_at, stage_of
from .results import log_row, write_results
from .similarity_mining import mining_loss
from .workers import average, connect, disconnect, from_others, wait_for_all

LOG = logging.getLogger(__name__)


@dataclass
class Run:
    """The moving parts of a run."""

    network: EmbeddingNetwork
    head: ArcFace
    reader: CoatReader
    optimiser: torch.optim.Optimizer
    epoch: int
    rows: List[Dict[str, Any]]


def start(plan: Plan, checkpoint: Optional[Path] = None) -> Run:
    """Fresh network, head, reader and optimiser from the plan's seed; the network's weights from a checkpoint,
    if there is one."""
    torch.manual_seed(plan.seed)
    fresh = EmbeddingNetwork(MODEL_NAME)
    network = fresh if checkpoint is None else load_network(checkpoint, checkpoint.parent / "config.json")
    network = network.to(memory_format=torch.channels_last)
    head = ArcFace(network.bn.num_features, 2 * plan.individuals)
    reader = CoatReader(network, coat_pictures(individuals("training", plan.individuals)))
    everything = [p for module in (network, head, reader) for p in module.parameters()]
    groups = [
        {"params": [p for p in everything if p.ndim > 1], "weight_decay": plan.decay},
        {"params": [p for p in everything if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=plan.rate)
    return Run(network=network, head=head, reader=reader, optimiser=optimiser, epoch=0, rows=[])


def resume(run: Run, path: Path) -> Run:
    """Load the state that `remember` wrote, if there is one."""
    if path.exists():
        state = torch.load(path, map_location="cpu")
        run.network.load_state_dict(state["network"])
        run.head.load_state_dict(state["head"])
        run.reader.load_state_dict(state["reader"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.epoch, run.rows = state["epoch"], json.loads(state["rows"])
        LOG.info("going on after epoch %d", run.epoch)
    return run


def remember(run: Run, path: Path) -> None:
    """Write all that a later process needs to go on."""
    state = {
        "network": run.network.state_dict(),
        "head": run.head.state_dict(),
        "reader": run.reader.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "epoch": run.epoch,
        "rows": json.dumps(run.rows),
    }
    with replacing(path) as file:
        torch.save(state, file)


def batches(
    store: ChipStore, stage: Stage, rng: np.random.Generator, rank: int, world: int
) -> Iterator[np.ndarray]:
    """Chip numbers of each batch of an epoch: runs of `stage.shots` photographs of one animal, all species
    in turn.

    Every animal comes up as often as its photographs fill, and never in two processes at once.
    """
    shots = int((store.labels == 0).sum())
    kinds = sorted(set(store.species))
    of_kind = [np.array([i for i, own in enumerate(store.species) if own == kind]) for kind in kinds]
    wanted = stage.animals * world
    for _ in range(max(1, shots // stage.shots)):
        orders = [rng.permutation(members) for members in of_kind]
        for step in range(min(len(order) for order in orders) // wanted):
            mine = slice(step * wanted + rank * stage.animals, step * wanted + (rank + 1) * stage.animals)
            picks = [rng.permutation(shots)[: stage.shots] for _ in range(wanted * len(kinds))]
            animals = np.concatenate([order[mine] for order in orders])
            yield np.concatenate(
                [animal * shots + picks[i * world + rank] for i, animal in enumerate(animals)]
            )


def step_loss(
    run: Run, plan: Plan, images: torch.Tensor, animals: np.ndarray, flipped: np.ndarray, progress: float
) -> Tuple[torch.Tensor, float]:
    """Loss of one batch: ArcFace against learnt directions and the batch's own, reading the coat, and
    similarity mining if the plan says so.

    Args:
        images: float32 [N, 3, side, side], normalised.
        animals, flipped: individual of each image, and whether the image was mirrored, which makes it
            another.
        progress: share of the run that is done; reading comes first, then ArcFace joins it.

    Returns:
        The loss, and the reading error alone.
    """
    rank, world = connect()
    group = stage_of(plan, run.epoch).shots
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = run.network.backbone.forward_features(images.to(memory_format=torch.channels_last))
        embeddings = run.network.neck(features)
    reading = run.reader(animals, flipped)
    weight = min(1.0, max(0.0, (progress - plan.reading_first) / 0.25))
    if weight == 0.0:
        return 10.0 * reading, float(reading.detach())
    embeddings = embeddings.float()
    margin = plan.margin * min(1.0, max(0.0, (progress - 0.5) / 0.25))
    labels = torch.from_numpy(animals + flipped * plan.individuals)
    others = from_others(mean_directions(embeddings, group), rank, world)
    arcface = run.head(embeddings, labels, margin) + batch_loss(embeddings, group, margin, others=others)
    if plan.mining > 0 and group > 1:
        drawn = np.random.default_rng((plan.seed, run.epoch, rank, int(1e6 * progress)))
        arcface = arcface + plan.mining * mining_loss(run.network, images, features.float(), group, drawn)
    return weight * arcface + (10.0 - 7.0 * weight) * reading, float(reading.detach())


def train_epoch(
    run: Run, plan: Plan, store: ChipStore, small: ChipStore, limit: Optional[int] = None
) -> Dict[str, float]:
    """One pass over the training chips, each animal flipped or not by chance.

    Args:
        small: the same chips at half size, read where an image size does not need more.
        limit: stop after so many steps; None: the whole set.

    Returns:
        Mean loss and reading error, images and seconds.
    """
    rank, world = connect()
    stage, total = stage_of(plan, run.epoch), sum(s.epochs for s in plan.stages)
    order = np.random.default_rng((plan.seed, run.epoch))
    drawn = list(batches(store, stage, order, rank, world))[:limit]
    rng = np.random.default_rng((plan.seed, run.epoch, rank))
    run.network.train()
    begin, losses = time.time(), []
    for step, chosen in enumerate(drawn):
        flipped = np.repeat(rng.random(len(chosen) // stage.shots) < 0.5, stage.shots)
        fine = stage.side > small.chips.shape[1]
        rough = not fine and rng.random() < 0.25
        chips = store.chips[chosen] if fine or rough else small.chips[chosen]
        images = training_batch(
            chips[:, ::2, ::2] if rough else chips, flipped, stage.side, store.margin, plan.strength, rng
        )
        progress = (run.epoch + step / len(drawn)) / total
        losses.append(take_step(run, plan, images, store.labels[chosen], flipped, progress))
        if step % 10 == 0:
            speed = (step + 1) * len(chosen) * world / (time.time() - begin)
            recent = np.mean(losses[-10:], axis=0)
            LOG.info("epoch %d step %d/%d loss %.3f reading %.3f, %.0f images/s",
                     run.epoch, step, len(drawn), recent[0], recent[1], speed)
    average([buffer for buffer in run.network.buffers() if buffer.is_floating_point()], world)
    run.epoch += 1
    loss, reading = np.mean(losses, axis=0)
    images_seen = sum(len(chosen) for chosen in drawn) * world
    return {"loss": loss, "reading": reading, "images": images_seen, "seconds": time.time() - begin}


def take_step(
    run: Run, plan: Plan, images: torch.Tensor, animals: np.ndarray, flipped: np.ndarray, progress: float
) -> Tuple[float, float]:
    """One step of the optimiser; arguments as for `step_loss`. Returns the loss and the reading error."""
    for group in run.optimiser.param_groups:
        group["lr"] = rate_at(progress, plan.rate)
    loss, reading = step_loss(run, plan, images, animals, flipped, progress)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [p for module in (run.network, run.head, run.reader) for p in module.parameters()]
    average([p.grad for p in parameters if p.grad is not None], connect()[1])
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
    run.optimiser.step()
    return float(loss.detach()), reading


def train(
    plan: Plan,
    work: Path,
    out: Path,
    processes: int = 2,
    limit: Optional[int] = None,
    checkpoint: Optional[Path] = None,
) -> Dict[str, Any]:
    """Run the whole plan.

    Args:
        plan: what to train.
        work: folder for rendered chips and the resumable state.
        out: folder for checkpoint, configuration, log and figures.
        processes: worker processes for rendering.
        limit: steps per epoch at most; None for all.
        checkpoint: weights to begin with, its configuration beside it; None: from scratch.

    Returns:
        The figures of the finished network, as in `figures.json`; empty in all processes but the first.
    """
    torch.set_num_threads(plan.threads)
    rank, world = connect()
    store, small, measured = prepare(plan, work, processes, rank, world)
    run = resume(start(plan, checkpoint), work / "state.pt")
    while run.epoch < sum(stage.epochs for stage in plan.stages):
        side = stage_of(plan, run.epoch).side
        facts = train_epoch(run, plan, store, small, limit)
        if rank == 0:
            figures = measure(run.network, measured, side, fast=True)
            rate = run.optimiser.param_groups[0]["lr"]
            run.rows.append(log_row(run.epoch, side, rate, facts, figures))
            LOG.info("%s", run.rows[-1])
            write_results(run.network, run.rows, plan, figures, out)
            remember(run, work / "state.pt")
        wait_for_all(world)
    if rank > 0:
        return {}
    unseen = (plan.measured, plan.measured_shots, plan.stored_side)
    held_out = render_store(work, "held_out", *unseen, margin=0.0, processes=processes)
    figures = measure(run.network, measured, plan.inference_side, fast=False, held_out=held_out)
    write_results(run.network, run.rows, plan, figures, out)
    return figures


def prepare(
    plan: Plan, work: Path, processes: int, rank: int, world: int
) -> Tuple[ChipStore, ChipStore, ChipStore]:
    """Training chips, the same at half size, and the chips of the unseen set; rendered by the first
    process."""
    if rank > 0:
        wait_for_all(world)
    measured = render_store(
        work, "measured", plan.measured, plan.measured_shots, plan.stored_side, 0.0, processes=processes
    )
    store = render_store(
        work, "training", plan.individuals, plan.shots, plan.stored_side, processes=processes
    )
    small = half_size(store, work, write=rank == 0)
    if rank == 0:
        wait_for_all(world)
    return store, small, measured


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `python -m pairx_sample_data.train`."""
    parser = argparse.ArgumentParser(
        prog="python -m pairx_sample_data.train", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for rendered chips and the resumable state")
    parser.add_argument("--out", type=Path, default=path_of("checkpoint").parent, help="folder for the results")
    parser.add_argument("--processes", type=int, default=2, help="worker processes for rendering")
    parser.add_argument("--threads", type=int, default=Plan.threads, help="torch threads")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument(
        "--similarity-mining", type=float, default=Plan.mining, metavar="WEIGHT", help="of that loss; 0.5 is usual"
    )
    parser.add_argument("--start", type=Path, metavar="CHECKPOINT", help="begin with these weights")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan = Plan(seed=given.seed, threads=given.threads, processes=connect()[1], mining=given.similarity_mining)
    train(plan, given.work, given.out, given.processes, checkpoint=given.start)
    disconnect()


if __name__ == "__main__":
    main()
