"""The Grad-CAM family: the package's own answers on our twin, baselines named as such, and the package missing."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
from torch import nn

from pairx_hooks import Status
from pairx_plugin import EmbeddingModel, explain_ranking
from pairx_plugin.chips import Chip
from pairx_plugin.errors import MissingExtra, ModelError, SettingsError
from pairx_plugin.explainers.grad_cam import BASELINES, METHODS, GradCam
from pairx_plugin.settings import Settings

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("pytorch_grad_cam") is None, reason="needs the package grad-cam (extra 'gradcam')"
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 4, stride=4), nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.act, self.fc = nn.ReLU(), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.act(self.second(self.first(x).relu())).mean((2, 3)))


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return EmbeddingModel(Net().eval(), input_size=(64, 48))


@pytest.fixture
def chips(make_texture):
    return [Chip.from_array(make_texture(seed)) for seed in (1, 2, 3)]


def package_map(model, chip, partner, method):
    """What the package's own call gives, 0 to 1 at the input's size, for the cosine to a fixed partner."""
    import pytorch_grad_cam

    network = Net().eval()
    network.load_state_dict(model.network.state_dict())
    fixed = torch.from_numpy(model.embed([partner.pixels])[0])
    cam = getattr(pytorch_grad_cam, METHODS[method])(model=network, target_layers=[network.act])
    target = [lambda output: nn.functional.cosine_similarity(output, fixed, dim=0)]
    return cam(input_tensor=model.tensor([chip.pixels]), targets=target)[0]


@needs_package
@pytest.mark.parametrize("method", METHODS)
def test_maps_are_the_packages_own_but_for_their_scale(model, chips, method):
    from pytorch_grad_cam.utils.image import scale_cam_image

    session = GradCam().prepare(model, chips[0], Settings(options={"cam_method": method}))
    (evidence,) = session.explain([chips[1]])
    layer = evidence.layers[0]
    assert layer.layer_key == "act" and layer.grid_0 == (8, 6)
    for found, chip, partner in ((layer.relevance_0, *chips[:2]), (layer.relevance_1, chips[1], chips[0])):
        expected = package_map(model, chip, partner, method)
        assert expected.max() > 0.9
        scaled = scale_cam_image(scale_cam_image(found[None], (48, 64)))[0]
        np.testing.assert_allclose(scaled, expected, atol=2e-3)


@needs_package
def test_grad_cam_of_a_cosine_by_hand(model, chips):
    """Mean gradient by channel, sum over channels, rectified; in float64."""
    network = Net().double().eval()
    network.load_state_dict({key: value.double() for key, value in model.network.state_dict().items()})
    images = model.tensor([chip.pixels for chip in chips[:2]]).double()
    feature_map = network.act(network.second(network.first(images[:1]).relu())).detach().requires_grad_()
    partner = network(images[1:]).detach()
    cosine = nn.functional.cosine_similarity(network.fc(feature_map.mean((2, 3))), partner)[0]
    (gradient,) = torch.autograd.grad(cosine, feature_map)
    summed = (gradient.mean((2, 3), keepdim=True) * feature_map.detach()).sum(1)[0].numpy()
    (plain,) = GradCam().prepare(model, chips[0], Settings()).explain([chips[1]])
    (signed,) = GradCam().prepare(model, chips[0], Settings(options={"cam_signed": True})).explain([chips[1]])
    np.testing.assert_allclose(signed.layers[0].relevance_0, summed, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(plain.layers[0].relevance_0, np.maximum(summed, 0), rtol=1e-3, atol=1e-6)
    assert (summed < 0).any() and plain.similarity == pytest.approx(float(cosine.detach()), abs=1e-5)


@needs_package
@pytest.mark.parametrize("method", METHODS)
def test_baselines_know_no_partner_and_say_so(model, chips, method):
    session = GradCam().prepare(model, chips[0], Settings(options={"cam_method": method}))
    first, second = session.explain(chips[1:])
    same = np.array_equal(first.layers[0].relevance_0, second.layers[0].relevance_0)
    codes = [doubt.code for doubt in first.doubts]
    assert same == (method in BASELINES) == ("NULL_BASELINE" in codes)


@needs_package
def test_layers_asked_for_are_used(miewid_network, make_texture):
    keys = ["backbone.blocks.1", "backbone.blocks.3"]
    (explanation,) = explain_ranking(
        miewid_network, make_texture(1), [make_texture(2)], layer=keys, input_size=(64, 64), explainer="grad_cam"
    )
    assert [(layer.layer_key, layer.grid_0) for layer in explanation.layers] == list(zip(keys, [(16, 16), (4, 4)]))
    (last,) = explain_ranking(
        miewid_network, make_texture(1), [make_texture(2)], input_size=(64, 64), explainer="grad_cam"
    )
    assert last.layers[0].layer_key == "backbone.bn2" and last.picture("both").dtype == np.uint8


@needs_package
def test_hosts_network_and_random_numbers_are_left_alone(model, chips):
    for parameter in model.network.parameters():
        parameter.requires_grad_()
    before, state = model.fingerprint(), torch.random.get_rng_state()
    GradCam().prepare(model, chips[0], Settings()).explain(chips[1:])
    assert model.fingerprint() == before and torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.network.parameters())
    assert not any(module._forward_hooks for module in model.network.modules())


@needs_package
def test_numbers_that_the_package_cannot_handle_fail_one_candidate_alone(model, chips, monkeypatch):
    session = GradCam().prepare(model, chips[0], Settings())

    def broken(*args):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(session._cam, "get_cam_image", broken)
    with pytest.raises(ModelError, match="GradCAM.*SVD did not converge.*another cam_method"):
        session.explain(chips[1:])
    monkeypatch.setattr(session._cam, "get_cam_image", lambda *args: np.full((1, 8, 6), np.nan))
    with pytest.raises(ModelError, match="not finite"):
        session.explain(chips[1:2])


@needs_package
def test_method_that_does_not_exist_is_refused(model, chips):
    with pytest.raises(SettingsError, match="nearest: 'gradcam\\+\\+'"):
        GradCam().prepare(model, chips[0], Settings(options={"cam_method": "gradcam+"}))


@needs_package
def test_constant_pictures_give_a_doubt_and_no_nan(model):
    grey = Chip.from_array(np.full((64, 48, 3), 100, np.uint8))
    (evidence,) = GradCam().prepare(model, grey, Settings()).explain([grey])
    assert np.isfinite(evidence.layers[0].relevance_0).all()
    assert [doubt.code for doubt in evidence.doubts][0] == "SAME_PICTURE"


def test_without_the_package_the_explainer_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"'grad_cam' needs the package 'grad-cam'.*pairx-plugin\[gradcam\]"):
        GradCam()


@needs_package
def test_package_that_is_there_and_broken_is_said_too(model, chips, monkeypatch):
    explainer = GradCam()
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(MissingExtra, match="cannot be imported.*gradcam"):
        explainer.prepare(model, chips[0], Settings())


@needs_package
def test_package_that_lacks_a_method_is_too_old(model, chips, monkeypatch):
    import pytorch_grad_cam

    monkeypatch.delattr(pytorch_grad_cam, "KPCA_CAM")
    with pytest.raises(MissingExtra, match="no KPCA_CAM"):
        GradCam().prepare(model, chips[0], Settings(options={"cam_method": "kpcacam"}))


def test_missing_package_makes_the_explainer_unusable_and_no_other(monkeypatch):
    from pairx_plugin.explanation import failure_of
    from pairx_plugin.plugin import register_explainers

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    entries = {entry.explainer_id: entry for entry in register_explainers()}
    with pytest.raises(MissingExtra) as caught:
        entries["grad_cam"].create()
    assert failure_of(caught.value)[0] is Status.UNSUPPORTED
    assert entries["similarity_attention"].create().explainer_id == "similarity_attention"
