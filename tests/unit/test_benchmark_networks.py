"""The network and the pictures that are measured with: the same everywhere, and alive."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pairx_plugin import compat
from pairx_plugin.benchmark.networks import load_model, seeded_network
from pairx_plugin.benchmark.pictures import Pictures
from pairx_plugin.errors import LayerNotFound, SettingsError

BACKBONE = "tf_efficientnetv2_b0"
pytest.importorskip("timm", reason="needs the extra 'models'")


@pytest.fixture(scope="module")
def network():
    return seeded_network(BACKBONE, seed=1)


def test_same_seed_gives_the_same_network_and_draws_no_numbers_of_the_caller(network):
    state = torch.get_rng_state()
    again = seeded_network(BACKBONE, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(network.state_dict().values(), again.state_dict().values())
    assert all(torch.equal(own, other) for own, other in pairs)


def test_another_seed_gives_another_network(network):
    other = seeded_network(BACKBONE, seed=2).state_dict()
    assert not torch.equal(network.state_dict()["backbone.conv_stem.weight"], other["backbone.conv_stem.weight"])


def test_weights_follow_from_the_seed_and_the_name_alone(network):
    """Pinned, so that figures of different releases are of the same network."""
    weight = network.state_dict()["backbone.conv_stem.weight"]
    assert weight[0, 0, 0].tolist() == pytest.approx([0.2502206, -0.2072284, 0.0291185], rel=1e-5)
    assert float(weight.std()) == pytest.approx((2 / 27) ** 0.5, rel=0.05)


def test_network_is_in_evaluation_mode_with_its_batch_norms_as_they_are(network):
    norms = [module for module in network.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert not any(module.training for module in network.modules())
    assert all(norm.momentum is not None and norm.num_batches_tracked == 1 for norm in norms)


def test_cells_match_where_the_coat_is_the_same_and_relevance_reaches_them(network, make_tensor):
    pictures = Pictures(5, (128, 128))
    tensors = [make_tensor(view) for view in (pictures.query(), pictures.candidate(0), pictures.candidate(1))]
    layer = "backbone.blocks.2"
    same, half = (compat.pairx(None, tensors[0], tensor, network, [layer], 9999, 0)[layer] for tensor in tensors[1:])
    assert len(same["matches"][0]) > 1.3 * len(half["matches"][0]) and len(half["matches"][0]) >= 20
    relevance = same["intermediate_relevances"][0][0]
    assert np.isfinite(relevance).all() and (relevance > 0).mean() > 0.9


def test_layer_and_device_are_checked():
    with pytest.raises(LayerNotFound):
        load_model(f"seeded:{BACKBONE}", input_size=(64, 64), layer="blocks.77", seed=0, device="cpu")
    with pytest.raises(SettingsError, match="cannot use the device 'gpu'"):
        load_model(f"seeded:{BACKBONE}", input_size=(64, 64), layer=None, seed=0, device="gpu")


def test_model_of_the_catalogue_comes_with_its_own_layer():
    model, layer = load_model("timm:resnet18", input_size=(64, 64), layer=None, seed=0, device="cpu")
    assert model.model_id == "timm:resnet18" and model.input_size == (64, 64) and layer.startswith("layer")


def test_pictures_follow_from_the_seed():
    first, again, other = Pictures(1, (60, 80)), Pictures(1, (60, 80)), Pictures(2, (60, 80))
    assert first.query().shape == (60, 80, 3) and first.query().dtype == np.uint8
    assert np.array_equal(first.query(), again.query()) and np.array_equal(first.candidate(3), again.candidate(3))
    assert not np.array_equal(first.query(), other.query())
    views = [first.query(), *first.candidates(4)]
    assert len({view.tobytes() for view in views}) == 5
    assert all(view.std() > 20 for view in views)


@pytest.mark.parametrize("index", range(4))
def test_candidates_show_the_query_s_coat_and_odd_ones_another_on_the_right(index):
    pictures = Pictures(3, (128, 128))
    query, other = (view.astype(float).mean(2) for view in (pictures.query(), pictures.candidate(index)))

    def likeness(column):
        """Best correlation of a part of the candidate with the query, over shifts."""
        part = other[40:80, column : column + 40]
        return max(
            np.corrcoef(part.ravel(), query[row : row + 40, col : col + 40].ravel())[0, 1]
            for row in range(20, 61, 2)
            for col in range(max(0, column - 20), min(88, column + 21), 2)
        )

    assert likeness(20) > 0.9
    assert (likeness(72) > 0.9) == (index % 2 == 0)
