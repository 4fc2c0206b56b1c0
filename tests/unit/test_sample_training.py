"""Training of the sample network, its loss and its figures."""

import csv
import json
import math
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
from pairx_sample_data.arcface import ArcFace, batch_loss, mean_directions  # noqa: E402
from pairx_sample_data.augmentation import Strength, training_batch  # noqa: E402
from pairx_sample_data.coat_reading import CoatReader, coat_pictures  # noqa: E402
from pairx_sample_data.chip_store import ChipStore, half_size, render_store  # noqa: E402
from pairx_sample_data.network import EmbeddingNetwork, load_network  # noqa: E402
from pairx_sample_data.retrieval import retrieval_figures  # noqa: E402
from pairx_sample_data.measuring import embed  # noqa: E402
from pairx_sample_data.plan import Plan, Stage, rate_at, stage_of  # noqa: E402
from pairx_sample_data.population import individuals  # noqa: E402
from pairx_sample_data.train import batches, train  # noqa: E402
from pairx_sample_data.workers import average, connect, from_others  # noqa: E402

TINY = Plan(
    individuals=8,
    shots=4,
    stored_side=72,
    measured=4,
    measured_shots=2,
    inference_side=64,
    reading_first=0.5,
    threads=1,
    stages=(Stage(side=32, epochs=1, animals=2, shots=1), Stage(side=48, epochs=1, animals=2, shots=2)),
)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    threads = torch.get_num_threads()
    train(TINY, folder / "work", folder / "out", processes=1, limit=1)
    torch.set_num_threads(threads)
    return folder


def test_two_steps_of_training_write_a_loadable_checkpoint(run_folder):
    out = run_folder / "out"
    network = load_network(out / "miewid_sample.safetensors", out / "config.json")
    embeddings = embed(network, np.full((2, 64, 64, 3), 90, np.uint8), 64)
    assert embeddings.shape == (2, 1280) and np.isfinite(embeddings).all()
    fresh = EmbeddingNetwork()
    moved = [float((a - b).detach().abs().max()) for a, b in zip(network.parameters(), fresh.parameters())]
    assert max(moved) > 0
    with open(out / "training_log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["side"], row["images"]) for row in rows] == [
        ("1", "32", "8"),
        ("2", "48", "16"),
    ]
    assert all(math.isfinite(float(row["loss"])) for row in rows)
    figures = json.loads((out / "figures.json").read_text())
    assert figures["epochs"] == 2 and figures["measured"]["n_individuals"] == 4


def test_finished_run_is_not_trained_again(run_folder):
    before = (run_folder / "out" / "miewid_sample.safetensors").read_bytes()
    threads = torch.get_num_threads()
    log = (run_folder / "out" / "training_log.csv").read_bytes()
    figures = train(TINY, run_folder / "work", run_folder / "out", processes=1, limit=1)
    torch.set_num_threads(threads)
    assert (run_folder / "out" / "miewid_sample.safetensors").read_bytes() == before
    assert (run_folder / "out" / "training_log.csv").read_bytes() == log
    assert figures["image_size"] == [64, 64] and figures["measured"]["n_queries"] == 8


def test_rendered_chips_do_not_depend_on_being_read_again(run_folder):
    store = render_store(run_folder / "work", "training", 8, 4, 72)
    assert store.chips.shape == (32, 72, 72, 3)
    assert store.labels.tolist() == [i // 4 for i in range(32)]
    again = render_store(run_folder / "again", "training", 8, 4, 72)
    assert np.array_equal(store.chips, again.chips)


def test_half_size_is_the_mean_of_four(tmp_path):
    chips = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    half = half_size(
        ChipStore(chips=chips, labels=np.arange(3), species=("a", "b", "c"), margin=0.1), tmp_path
    )
    mean = chips.reshape(3, 4, 2, 4, 2, 3).mean((2, 4))
    assert np.abs(half.chips - mean).max() <= 0.5


def test_arcface_without_margin_is_softmax_of_scaled_cosines():
    torch.manual_seed(0)
    head = ArcFace(6, 5, scale=10.0)
    embeddings, labels = torch.randn(4, 6), torch.tensor([0, 4, 2, 2])
    cosine = torch.nn.functional.normalize(embeddings) @ torch.nn.functional.normalize(head.weight).T
    expected = torch.nn.functional.cross_entropy(10 * cosine, labels)
    assert torch.allclose(head(embeddings, labels, 0.0), expected, atol=1e-5)


def test_arcface_margin_adds_to_the_angle():
    head = ArcFace(2, 2, scale=1.0)
    head.weight.data = torch.eye(2)
    angle, margin = 0.7, 0.3
    loss = head(torch.tensor([[math.cos(angle), math.sin(angle)]]), torch.tensor([0]), margin)
    true, other = math.cos(angle + margin), math.sin(angle)
    assert float(loss.detach()) == pytest.approx(
        -math.log(math.exp(true) / (math.exp(true) + math.exp(other))), abs=1e-5
    )


def test_batch_loss_is_softmax_against_the_mean_of_the_others_of_each_animal():
    torch.manual_seed(1)
    embeddings = torch.randn(6, 5)
    unit = torch.nn.functional.normalize(embeddings)
    losses = []
    for i in range(6):
        own = [j for j in range(6) if j // 3 == i // 3 and j != i]
        rest = [j for j in range(6) if j // 3 != i // 3]
        cosines = [
            float(unit[i] @ torch.nn.functional.normalize(unit[group].sum(0), dim=0)) for group in (own, rest)
        ]
        losses.append(-4 * cosines[0] + math.log(sum(math.exp(4 * cosine) for cosine in cosines)))
    assert float(batch_loss(embeddings, 3, 0.0, 4.0)) == pytest.approx(np.mean(losses), abs=1e-5)
    others = mean_directions(torch.randn(6, 5), 3)
    assert float(batch_loss(embeddings, 3, 0.0, 4.0, others)) > np.mean(losses)


@pytest.mark.parametrize("world", [1, 2])
def test_batches_hold_runs_of_one_animal_and_processes_never_share_one(world):
    kinds = ("a", "b") * 6
    store = ChipStore(
        chips=np.zeros((96, 2, 2, 3), np.uint8), labels=np.repeat(np.arange(12), 8), species=kinds, margin=0.1
    )
    stage = Stage(side=8, epochs=1, animals=1, shots=4)
    drawn = [list(batches(store, stage, np.random.default_rng(5), rank, world)) for rank in range(world)]
    seen = []
    for step in zip(*drawn):
        animals = [store.labels[batch].reshape(-1, 4) for batch in step]
        assert all((runs == runs[:, :1]).all() for runs in animals)
        assert all(len(set(batch)) == len(batch) == 8 for batch in step)
        together = np.concatenate([runs[:, 0] for runs in animals])
        assert len(set(together)) == len(together) == 2 * world
        seen.extend(together)
    assert sorted(seen) == sorted(list(range(12)) * 2)


def test_coat_pictures_are_centred_scaled_and_the_individuals_own():
    animals = individuals("training", 24)
    pictures = coat_pictures(animals)
    assert pictures.shape == (24, 32, 56)
    for species in {animal.species for animal in animals}:
        own = np.stack([p for p, animal in zip(pictures, animals) if animal.species == species])
        assert np.sqrt((own**2).mean()) == pytest.approx(1.0, abs=1e-3)
    assert np.array_equal(coat_pictures(animals)[3], pictures[3])
    assert np.abs(pictures[0] - pictures[4]).mean() > 0.1


def test_coat_reader_that_does_not_look_has_error_one_and_learns_from_the_features():
    torch.manual_seed(0)
    network = EmbeddingNetwork()
    pictures = np.random.default_rng(0).standard_normal((2, 32, 56)).astype(np.float32)
    reader = CoatReader(network, pictures)
    torch.nn.init.zeros_(reader.linear.weight)
    torch.nn.init.zeros_(reader.linear.bias)
    network.train()
    network(torch.randn(2, 3, 32, 32))
    animals, flipped = np.array([0, 1]), np.array([False, True])
    assert float(reader(animals, flipped).detach()) == pytest.approx(float((pictures**2).mean()), abs=1e-4)
    reader.linear.bias.data = torch.from_numpy(pictures[1][:, ::-1].copy()).flatten()
    wrong = float(((pictures[0] - pictures[1][:, ::-1]) ** 2).mean())
    assert float(reader(animals, flipped).detach()) == pytest.approx(wrong / 2, abs=1e-4)


def test_two_processes_average_and_exchange(tmp_path):
    script = tmp_path / "meet.py"
    script.write_text(
        "import sys, torch\n"
        "from pairx_sample_data.workers import average, connect, disconnect, from_others, wait_for_all\n"
        "rank, world = connect()\n"
        "first, second = torch.full((2, 3), float(rank)), torch.tensor([10.0 * rank])\n"
        "average([first, second], world)\n"
        "other = from_others(torch.tensor([float(rank)]), rank, world)\n"
        "wait_for_all(world)\n"
        "assert (first == 0.5).all() and float(second) == 5.0 and other.tolist() == [1.0 - rank]\n"
        "disconnect()\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    setting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    setting.update(OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    started = [
        subprocess.Popen([sys.executable, str(script)], env={**os.environ, **setting, "RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0]


def test_single_process_needs_no_exchange(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert connect() == (0, 1)
    tensor = torch.ones(2, 3)
    average([tensor], 1)
    assert (tensor == 1).all() and from_others(tensor, 0, 1).shape == (0, 3)


def test_flipped_chip_is_the_mirror_image_of_the_other():
    chips = np.repeat(np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8), 2, 0)
    still = Strength(shift=0, zoom=0, stretch=0, turn=0, light=0, tint=0, grey=0, erase=0)
    images = training_batch(chips, np.array([False, True]), 16, 0.0, still, np.random.default_rng(0))
    assert torch.allclose(images[0].flip(-1), images[1], atol=1e-4)
    plain = torch.from_numpy(chips[0]).permute(2, 0, 1) / 255
    assert torch.allclose(images[0][0], (plain[0] - 0.485) / 0.229, atol=1e-4)


def test_margin_of_stored_chips_is_cropped_away():
    chips = np.zeros((1, 60, 60, 3), np.uint8)
    chips[:, 5:-5, 5:-5] = 255
    still = Strength(shift=0, zoom=0, stretch=0, turn=0, light=0, tint=0, grey=0, erase=0)
    images = training_batch(chips, np.array([False]), 50, 0.1, still, np.random.default_rng(0))
    assert float(images.std((2, 3)).max()) < 1e-4


def test_learning_rate_rises_then_falls_and_stages_follow_each_other():
    rates = [rate_at(p, 1.0) for p in np.linspace(0, 1, 101)]
    assert np.argmax(rates) == 5 and rates[-1] <= 0.002 and min(rates) > 0
    plan = Plan(stages=(Stage(side=10, epochs=2), Stage(side=20, epochs=1)))
    assert [stage_of(plan, epoch).side for epoch in range(3)] == [10, 10, 20]


def test_retrieval_figures_of_a_hand_made_set():
    embeddings = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.05, 1], [0.95, 0.05]], float)
    figures = retrieval_figures(embeddings, ["a", "a", "b", "b", "b"], ["s"] * 5)
    # By angle the last "b" lies between the two "a". Ranks of the relevant: 2; 2; 1 and 3; 1 and 3; 3 and 4.
    assert figures["rank_1"] == pytest.approx(2 / 5)
    assert figures["map"] == pytest.approx(
        (0.5 + 0.5 + 2 * (1 + 2 / 3) / 2 + (1 / 3 + 2 / 4) / 2) / 5, abs=1e-4
    )
    with pytest.raises(ValueError, match="two photographs"):
        retrieval_figures(embeddings[:2], ["a", "b"], ["s", "s"])
