"""Files that a training run leaves: checkpoint, configuration, log and figures."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List

from .network import MEAN, MODEL_NAME, STD, EmbeddingNetwork, save_checkpoint
from .plan import Plan


def log_row(
    epoch: int, side: int, rate: float, facts: Dict[str, float], figures: Dict[str, Any]
) -> Dict[str, Any]:
    """One row of `training_log.csv`: epoch from 1, image side, last rate, what was trained and measured."""
    row = {
        "epoch": epoch,
        "side": side,
        "images": int(facts["images"]),
        "seconds": round(facts["seconds"], 1),
        "loss": round(float(facts["loss"]), 4),
        "reading": round(float(facts["reading"]), 4),
        "rate": round(rate, 7),
    }
    for name in ("measured", "shipped"):
        for key in ("rank_1", "map"):
            row[f"{name}_{key}"] = figures.get(name, {}).get(key, "")
    return row


def write_results(
    network: EmbeddingNetwork, rows: List[Dict[str, Any]], plan: Plan, figures: Dict[str, Any], out: Path
) -> None:
    """Write checkpoint, configuration, log and figures, under the names that are shipped.

    Args:
        network: what was trained so far.
        rows: the log's, one per epoch, as `log_row` makes them.
        plan: what the run was to do.
        figures: of the last epoch, from `measuring.measure`.
        out: folder; made if missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    save_checkpoint(network, out / "miewid_sample.safetensors")
    config = {
        "data": {
            "image_size": [plan.inference_side, plan.inference_side],
            "crop_bbox": True,
            "mean": list(MEAN),
            "std": list(STD),
            "input_range": [0.0, 1.0],
            "channels": "RGB",
        },
        "model_params": {
            "model_name": MODEL_NAME,
            "pooling": "gem",
            "neck": "bn",
            "use_fc": False,
            "embedding_size": network.bn.num_features,
        },
        "test": {"fliplr": False},
        "default_layer": "backbone.blocks.3",
        "checkpoint": "miewid_sample.safetensors",
        "licence": "MIT",
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    facts = {"epochs": len(rows), "plan": asdict(plan), **figures}
    (out / "figures.json").write_text(json.dumps(facts, indent=2) + "\n")
    with open(out / "training_log.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
