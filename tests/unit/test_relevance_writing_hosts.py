"""Hosts whose forward pass writes: over tensors, into lists and buffers of their own."""

from __future__ import annotations

import collections

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pairx_plugin.errors import UnsupportedArchitecture
from pairx_plugin.relevance.heads import Head
from pairx_plugin.relevance.network.shadow import make_twin
from pairx_plugin.relevance.propagation import RelevanceModel

timm = pytest.importorskip("timm")
LAYER = "backbone.layer2"


class Host(nn.Module):
    """A backbone, and what a host does with what comes out of it."""

    def __init__(self, head, **parts):
        super().__init__()
        self.backbone = timm.create_model("resnet10t", num_classes=0)
        self.head = head
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.head(self, self.backbone(x))


def statement(write):
    """Return a head that writes over its input and returns that."""

    def head(self, x):
        write(self, x)
        return x

    return head


def by_another_name(self, x):
    same = x
    same.add_(1.0)
    return x * same


def before_activation(self, x):
    shortcut = x = x - 0.4
    x = self.relu(x)
    return x + 2.0 * shortcut


def by_operators(self, x):
    same, length = x, x.norm(dim=1, keepdim=True)
    x /= length
    x -= 0.01
    x *= 3.0
    x **= 2
    return same + x


def into(self, x):
    torch.mul(x, 2.0, out=x)
    return x


class Swish(nn.Module):
    """An activation that chooses by its own flag, as timm's do."""

    def __init__(self):
        super().__init__()
        self.inplace = True

    def forward(self, x):
        return x.mul_(x.sigmoid()) if self.inplace else x.mul(x.sigmoid())


HEADS = {
    "method": statement(lambda self, x: x.clamp_(min=0.3)),
    "function": statement(lambda self, x: torch.relu_(x.sub_(0.4))),
    "function with a flag": statement(lambda self, x: F.leaky_relu(x.sub_(0.4), 0.2, inplace=True)),
    "function of activations": statement(lambda self, x: F.elu_(x.sub_(0.4))),
    "module": statement(lambda self, x: self.relu(x.sub_(0.4))),
    "module of its own": statement(lambda self, x: self.swish(x)),
    "by its own values": statement(lambda self, x: x.div_(x.norm(dim=1, keepdim=True))),
    "filled": statement(lambda self, x: x.add_(torch.ones_like(x).fill_(0.25))),
    "another name": by_another_name,
    "shortcut before an activation": before_activation,
    "operators": by_operators,
    "out": into,
}


def host(head, **more):
    torch.manual_seed(4)
    return Host(head, relu=nn.ReLU(inplace=True), plain_relu=nn.ReLU(), swish=Swish(), **more).eval()


@pytest.fixture
def images(make_tensor, make_texture):
    return make_tensor(make_texture(31), make_texture(32))


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_what_is_written_over_a_tensor_counts(head, images):
    network = host(head)
    with torch.no_grad():
        expected, untouched = network(images), network.backbone(images)
    assert (expected - untouched).abs().max() > 1e-3
    encoded = RelevanceModel(network).forward(images, [LAYER])
    torch.testing.assert_close(encoded.embedding, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("head", [HEADS["by its own values"], HEADS["shortcut before an activation"], by_operators])
def test_relevance_is_that_of_the_same_steps_without_writing(head, images):
    plain = {
        HEADS["by its own values"]: lambda self, x: x / x.norm(dim=1, keepdim=True),
        HEADS["shortcut before an activation"]: lambda self, x: 3.0 * self.plain_relu(x - 0.4),
        by_operators: lambda self, x: 2.0 * ((x / x.norm(dim=1, keepdim=True) - 0.01) * 3.0) ** 2,
    }[head]
    found = []
    for one in (head, plain):
        encoded = RelevanceModel(host(one)).forward(images, [LAYER])
        seed = torch.linspace(-1.0, 1.0, encoded.embedding.numel()).view_as(encoded.embedding)
        found.append(encoded.at_layers(seed, [0, 1], [LAYER])[LAYER])
    assert found[1].abs().max() > 0
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5 * found[1].abs().max().item())


def write_into_a_view(self, x):
    x[:, :4].mul_(2.0)
    return x


def write_under_a_view(self, x):
    view = x.view(-1, 2, x.shape[1] // 2)
    x.mul_(2.0)
    return x + view.flatten(1)


def write_over_a_weight(self, x):
    self.scale.data.mul_(1.0).add_(x.mean())
    return x * self.scale


@pytest.mark.parametrize(
    "head, names",
    [
        (write_into_a_view, "by another name"),
        (write_under_a_view, "by another name"),
        (write_over_a_weight, "weight"),
        (statement(lambda self, x: x.copy_(x * 2)), "copy_"),
    ],
    ids=["into a view", "under a view", "over a weight", "without a counterpart"],
)
def test_what_cannot_be_followed_is_refused(head, names, images):
    network = host(head, scale=nn.Parameter(torch.ones(1)))
    with pytest.raises(UnsupportedArchitecture, match=names):
        RelevanceModel(network).forward(images, [LAYER])
    assert network.scale.item() == 1.0


def test_a_view_that_nobody_reads_later_may_be_written_over(images):
    def head(self, x):
        x = self.drop(x.view(x.shape[0], -1))
        x += 1.0
        return self.relu(x)

    network = host(head, drop=nn.Dropout(0.5, inplace=True))
    with torch.no_grad():
        expected = network(images)
    torch.testing.assert_close(RelevanceModel(network).forward(images, []).embedding, expected)


class Remembering(Host):
    """Keeps what it saw, and a table that it makes once."""

    def __init__(self):
        super().__init__(None)
        self.seen, self.latest, self.tables = [], collections.deque(maxlen=2), {"sizes": {}}
        self.steps = [self.backbone]
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        (backbone,) = self.steps
        x = backbone(x)
        self.calls += 1
        self.seen.append(x)
        self.latest.append(x)
        if "table" not in self.tables["sizes"]:
            self.tables["sizes"]["table"] = 0.5 * x.detach()
        return x + self.tables["sizes"]["table"]


def test_what_a_forward_pass_remembers_stays_the_host_s(images):
    network = Remembering().eval()
    encoded = RelevanceModel(network).forward(images, [LAYER])
    encoded.at_layers(encoded.embedding, [0, 1], [LAYER])
    assert network.seen == [] and not network.latest and network.tables == {"sizes": {}}
    assert network.calls.item() == 0 and network.calls._version == 0
    with torch.no_grad():
        torch.testing.assert_close(network(images), encoded.embedding)
    assert isinstance(network.tables["sizes"]["table"], torch.Tensor) and network.calls.item() == 1


def test_half_precision_remembers_nothing_either(images):
    network = Remembering().eval().bfloat16()
    RelevanceModel(network).forward(images.bfloat16(), [LAYER])
    assert network.seen == [] and network.tables == {"sizes": {}} and network.calls.item() == 0


@pytest.mark.parametrize("head", [HEADS["module"], HEADS["shortcut before an activation"]])
def test_a_head_writes_over_tensors_as_the_host_does(head, images):
    network = host(head)
    with torch.no_grad():
        expected = network(images)
    found = Head(network, [LAYER], (64, 64)).forward(images)
    torch.testing.assert_close(found.embedding.detach(), expected)
    assert found.gradients(torch.ones_like(expected))[LAYER].abs().max() > 0


def test_a_head_counts_nothing_on_the_host(images):
    network = Remembering().eval()
    Head(network, [LAYER], (64, 64)).forward(images)
    assert network.calls.item() == 0 and network.seen == [] and network.tables == {"sizes": {}}


def test_twin_has_its_own_modules_in_lists_too():
    network = Remembering()
    twin = make_twin(network)
    assert twin.steps[0] is twin.backbone is not network.backbone
    assert network.steps[0] is network.backbone
