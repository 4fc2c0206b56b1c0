"""Zennit's own hooks on copies: what they compute arrives, and nothing of them stays on the host's network."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from torch import nn

from pairx_plugin.errors import PropagationError, UnsupportedArchitecture
from pairx_plugin.relevance.arithmetic.patches import Images, Patch
from pairx_plugin.relevance.composites.hooked import Hooked, stand_in
from pairx_plugin.relevance.propagation import RelevanceModel

zennit_core = pytest.importorskip("zennit.core")
zennit_rules = pytest.importorskip("zennit.rules")
zennit_composites = pytest.importorskip("zennit.composites")
zennit_types = pytest.importorskip("zennit.types")

LAYER = "backbone.blocks.1"


class Squared(zennit_core.BasicHook):
    """A stranger's hook: inputs share by squared contributions."""

    made = weakref.WeakSet()

    def __init__(self):
        super().__init__(
            input_modifiers=[torch.square],
            param_modifiers=[lambda parameter, _: parameter**2],
            output_modifiers=[lambda values: values],
            gradient_mapper=lambda relevance, outputs: relevance / (outputs[0] + 1e-3),
            reducer=lambda inputs, gradients: inputs[0] * gradients[0],
        )

    def copy(self):
        copied = super().copy()
        self.made.add(copied)
        return copied


class Remembering(zennit_core.Hook):
    """A stranger's hook that passes on what it kept of its own forward pass."""

    def forward(self, module, args, output):
        self.stored_tensors["sum"] = args[0].flatten(1).sum(1)

    def backward(self, module, grad_input, grad_output):
        return (grad_output[0] * self.stored_tensors["sum"].reshape(-1, *[1] * (grad_output[0].ndim - 1)),)


class Failing(zennit_core.Hook):
    problem = ValueError("no such thing")

    def backward(self, module, grad_input, grad_output):
        raise self.problem


def strange(hook):
    return zennit_composites.EpsilonPlus(layer_map=[(zennit_types.Convolution, hook)])


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def carried(rule, relevance, x, images):
    with torch.no_grad():
        (found,) = rule.propagate(Patch(relevance, Images(tuple(images), len(x))), rule.keep((x,), rule.module(x)))
    return found.values


def traces(network):
    """Everything that a hook could have left on a network."""
    modules = dict(network.named_modules())
    return (
        [len(value) for module in modules.values() for key, value in vars(module).items() if key.endswith("_hooks")],
        [sorted(vars(module)) for module in modules.values()],
        [(parameter.requires_grad, parameter.grad, parameter._version) for parameter in network.parameters()],
        [parameter.data_ptr() for parameter in network.state_dict().values()],
        [module.training for module in modules.values()],
    )


def test_each_seed_meets_its_own_image():
    module = nn.Conv2d(3, 4, 3, padding=1).double().requires_grad_(False)
    x, relevance, images = draw(2, 3, 6, 6), draw(5, 4, 6, 6, seed=1), (1, 0, 1, 1, 0)
    rule = Hooked("conv", module, {"": Squared()})
    together = carried(rule, relevance, x, images)
    for row, image in enumerate(images):
        denominators = torch.nn.functional.conv2d(
            x[image : image + 1] ** 2, module.weight**2, module.bias**2, padding=1
        )
        shares = relevance[row : row + 1] / (denominators + 1e-3)
        expected = x[image] ** 2 * torch.nn.functional.conv_transpose2d(shares, module.weight**2, padding=1)[0]
        torch.testing.assert_close(together[row], expected)


def test_one_seed_for_each_image_in_order_needs_no_copies_of_them():
    module = nn.Linear(4, 3).double().requires_grad_(False)
    x, relevance = draw(3, 4), draw(3, 3, seed=2)
    rule = Hooked("fc", module, {"": Squared()})
    aligned, turned = carried(rule, relevance, x, (0, 1, 2)), carried(rule, relevance.flip(0), x, (2, 1, 0))
    torch.testing.assert_close(aligned, turned.flip(0))


def test_module_of_several_inputs_passes_to_those_of_the_image():
    class Blend(nn.Module):
        def forward(self, image, mask, other):
            return image * mask + 3 * other

    rule = Hooked("blend", Blend(), {"": zennit_core.Hook()}, carries=(True, False, True))
    x, mask = draw(1, 2, 3, 3), draw(1, 2, 3, 3, seed=3)
    patch = Patch(torch.ones(1, 2, 3, 3).double(), Images((0,), 1))
    found = rule.propagate(patch, rule.keep((x, mask, x), rule.module(x, mask, x)))
    assert found[1] is None
    torch.testing.assert_close(found[0].values, mask)
    torch.testing.assert_close(found[2].values, torch.full_like(mask, 3.0))


def test_input_that_is_not_used_receives_nothing():
    class First(nn.Module):
        def forward(self, first, second):
            return first

    rule = Hooked("first", First(), {"": zennit_core.Hook()}, carries=(True, True))
    x = draw(1, 2)
    found = rule.propagate(Patch(torch.ones(1, 2).double(), Images((0,), 1)), rule.keep((x, x), x))
    assert found[0].values.tolist() == [[1, 1]] and found[1].values.tolist() == [[0, 0]]


def test_nothing_stays_on_the_host_s_network(miewid_network, make_tensor, make_texture):
    images = make_tensor(make_texture(71), make_texture(72))
    before = traces(miewid_network)
    hook = Squared()
    model = RelevanceModel(miewid_network, composite=strange(hook))
    encoded = model.forward(images, [LAYER])
    encoded.at_layers(encoded.embedding, [0, 1], [LAYER])
    pixels, _ = encoded.at_pixels(LAYER, [(3, 4)], [1])
    assert pixels.abs().max() > 0
    assert traces(miewid_network) == before
    assert not images.requires_grad and not hook.stored_tensors and not hook.tensor_handles
    gc.collect()
    assert not Squared.made, "copies of hooks live as long as one pass"
    rules = [step.rule for step in model.program(images.shape).steps if isinstance(step.rule, Hooked)]
    assert len(rules) > 20
    host = {value.data_ptr() for value in miewid_network.state_dict().values()}
    for rule in rules:
        assert not rule.module._forward_hooks and not rule.module._forward_pre_hooks
        assert {value.data_ptr() for value in rule.module.parameters()} <= host, "weights are shared"


def test_host_s_network_embeds_the_same_while_hooks_run_on_copies(miewid_network, make_tensor, make_texture):
    images = make_tensor(make_texture(73))
    with torch.no_grad():
        expected = miewid_network(images)
    encoded = RelevanceModel(miewid_network, composite=strange(Squared())).forward(images, [LAYER])
    stop, differing, passes = threading.Event(), [], []

    def embed():
        with torch.no_grad():
            while not stop.is_set():
                passes.append(1)
                if not torch.equal(miewid_network(images), expected):
                    differing.append(1)

    thread = threading.Thread(target=embed)
    thread.start()
    try:
        for _ in range(3):
            encoded.at_layers(encoded.embedding, [0], [LAYER])
    finally:
        stop.set()
        thread.join()
    assert passes and not differing


@pytest.mark.parametrize("hook", [Squared(), Remembering()], ids=["basic", "with memory"])
def test_threads_get_what_one_thread_gets(hook):
    module = nn.Conv2d(3, 3, 3, padding=1).double().requires_grad_(False)
    rule = Hooked("conv", module, {"": hook})
    inputs = [draw(2, 3, 9, 9, seed=index) for index in range(8)]
    relevance = draw(2, 3, 9, 9, seed=99)
    expected = [carried(rule, relevance, x, (1, 0)) for x in inputs]
    found = [[] for _ in inputs]
    barrier = threading.Barrier(len(inputs))

    def explain(index):
        barrier.wait()
        for _ in range(10):
            found[index].append(carried(rule, relevance, inputs[index], (1, 0)))

    threads = [threading.Thread(target=explain, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results, one in zip(found, expected):
        assert len(results) == 10 and all(torch.equal(result, one) for result in results)


def test_hook_that_fails_is_named_with_its_module():
    rule = Hooked("stem", nn.ReLU(), {"": Failing()})
    with pytest.raises(PropagationError, match="hook Failing failed on 'stem'.*ReLU.*ValueError: no such thing"):
        carried(rule, torch.ones(1, 2), torch.ones(1, 2), (0,))


def test_memory_that_runs_out_is_nobody_s_fault():
    hook = Failing()
    rule = Hooked("stem", nn.ReLU(), {"": hook})
    Failing.problem, before = RuntimeError("CUDA out of memory. Tried to allocate"), Failing.problem
    try:
        with pytest.raises(RuntimeError, match="out of memory") as caught:
            carried(rule, torch.ones(1, 2), torch.ones(1, 2), (0,))
    finally:
        Failing.problem = before
    assert not isinstance(caught.value, PropagationError)


def test_caller_in_inference_mode_and_weights_made_there_are_served():
    module = nn.Conv2d(3, 4, 3, padding=1).double().requires_grad_(False)
    x, relevance = draw(1, 3, 6, 6), draw(1, 4, 6, 6, seed=1)
    expected = carried(Hooked("conv", module, {"": Squared()}), relevance, x, (0,))
    with torch.inference_mode():
        made = nn.Conv2d(3, 4, 3, padding=1).double().requires_grad_(False)
        made.weight, made.bias = (nn.Parameter(value.clone(), requires_grad=False) for value in module.parameters())
        assert made.weight.is_inference()
        found = carried(Hooked("conv", made, {"": Squared()}), relevance.clone(), x.clone(), (0,))
    torch.testing.assert_close(found, expected)


def test_merged_weights_are_the_copy_s_alone():
    module = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2)).eval()
    weight, bias = torch.full((2, 2, 1, 1), 5.0), torch.ones(2)
    copy = stand_in(module, {"0": {"weight": weight, "bias": bias}, "1": {"running_mean": torch.full((2,), 3.0)}})
    assert copy[0].weight.data_ptr() == weight.data_ptr() and torch.equal(copy[0].bias, bias)
    assert copy[1].running_mean.tolist() == [3, 3] and copy[1].weight.data_ptr() == module[1].weight.data_ptr()
    assert module[0].bias is None and module[1].running_mean.tolist() == [0, 0]


def test_weights_that_are_computed_cannot_be_merged_into():
    module = torch.nn.utils.parametrizations.orthogonal(nn.Linear(2, 2))
    with pytest.raises(UnsupportedArchitecture, match="'weight' of a ParametrizedLinear is computed"):
        stand_in(module, {"": {"weight": torch.eye(2)}})
