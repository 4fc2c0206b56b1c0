"""Attention-aware rules, each against a slow oracle written from its equations, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pairx_plugin.relevance.arithmetic.patches import Images, Patch
from pairx_plugin.relevance.attention.steps import AttentionCore, detached_norm
from pairx_plugin.relevance.rules.base import Stabilizer
from pairx_plugin.relevance.rules.plain import Norm


@torch.no_grad()
def oracle_of_attention(q, k, v, relevance):
    """One head, from the equations: halves at each product, the softmax by its Taylor decomposition."""
    weights = (q @ k.T).softmax(-1)
    out = weights @ v
    n, width = q.shape
    of_weights, of_v = torch.zeros(n, n).double(), torch.zeros(n, width).double()
    for i in range(n):
        for j in range(n):
            for c in range(width):
                share = weights[i, j] * v[j, c] / (2 * out[i, c]) * relevance[i, c]
                of_weights[i, j] += share
                of_v[j, c] += share
    logits = q @ k.T
    of_logits = logits * (of_weights - weights * of_weights.sum(1, keepdim=True))
    of_q, of_k = torch.zeros(n, width).double(), torch.zeros(n, width).double()
    for i in range(n):
        for j in range(n):
            for c in range(width):
                share = q[i, c] * k[j, c] / (2 * logits[i, j]) * of_logits[i, j]
                of_q[i, c] += share
                of_k[j, c] += share
    return of_q, of_k, of_v


def carried(step, relevance, x):
    rule = Norm(step, Stabilizer(1e-15))
    with torch.no_grad():
        (patch,) = rule.propagate(Patch(relevance, Images((0,), 1)), rule.keep((x,), step(x)))
    return patch.values


def test_attention_s_rule_is_its_equations():
    generator = torch.Generator().manual_seed(2)
    qkv = torch.randn(1, 5, 3 * 4, generator=generator, dtype=torch.float64)
    relevance = torch.randn(1, 5, 4, generator=generator, dtype=torch.float64)
    found = carried(AttentionCore(1, 1.0).parted, relevance, qkv)
    q, k, v = qkv[0].split(4, dim=1)
    expected = torch.cat(oracle_of_attention(q, k, v, relevance[0]), dim=1)
    torch.testing.assert_close(found[0], expected, rtol=1e-8, atol=1e-10)


def test_attention_to_all_alike_passes_half_through_its_values():
    """Without queries every token attends to all alike; the softmax has nothing to explain, values have their half."""
    qkv = torch.randn(1, 6, 3 * 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    qkv[..., :4] = 0.0
    relevance = torch.rand(1, 6, 4, dtype=torch.float64)
    found = carried(AttentionCore(2, 0.5).parted, relevance, qkv)
    assert found[..., :8].abs().max() == 0
    torch.testing.assert_close(found[..., 8:].sum(), relevance.sum() / 2)


def test_windows_attend_to_themselves():
    generator = torch.Generator().manual_seed(5)
    qkv = torch.randn(2, 32, 3 * 4, generator=generator, dtype=torch.float64)
    whole = AttentionCore(2, 0.5, window=16)(qkv)
    torch.testing.assert_close(whole[:, 16:], AttentionCore(2, 0.5)(qkv[:, 16:]))


def by_differences(mixture, parts, index, weights, step=1e-5):
    """Return d(mixture . weights) / d parts[index], by central differences."""
    found = torch.zeros_like(parts[index])
    for place in range(found.numel()):
        ends = []
        for sign in (1, -1):
            moved = [part.clone() for part in parts]
            moved[index].view(-1)[place] += sign * step
            ends.append((mixture(*moved) * weights).sum())
        found.view(-1)[place] = (ends[0] - ends[1]) / (2 * step)
    return found


def plain(q, k, v):
    return (q @ k.transpose(-2, -1) * 0.5).softmax(-1) @ v


def normals(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_cosine_attention_s_rule_is_its_differences_at_fixed_lengths():
    """Each factor of a product takes half, so queries and keys a quarter of the derivative, values a half."""
    q, k, v, weights = (normals(1, 1, 4, 3, seed=seed) for seed in range(4))
    scale, bias = normals(1, 1, 1, seed=5).exp(), normals(1, 1, 4, 4, seed=6)
    lengths = q.norm(dim=-1, keepdim=True), k.norm(dim=-1, keepdim=True)

    def mixture(q, k, v):
        return ((q / lengths[0]) @ (k / lengths[1]).transpose(-2, -1) * scale + bias).softmax(-1) @ v

    core = AttentionCore(1, scale, cosine=True)
    packed = torch.cat([q, k, v], dim=-1)[0]
    output = core(packed, biases=(bias,))
    torch.testing.assert_close(output, mixture(q, k, v)[0])
    found = carried(lambda x: core.parted(x, biases=(bias,)), weights[0] * output, packed).split(3, dim=-1)
    for part, index, share in zip(found, range(3), (0.25, 0.25, 0.5)):
        expected = share * (q, k, v)[index] * by_differences(mixture, (q, k, v), index, weights)
        torch.testing.assert_close(part, expected[0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("in_halves", [False, True], ids=["neighbours", "halves"])
def test_rotary_attention_s_rule_is_its_differences(in_halves):
    q, k, v, weights = (normals(1, 1, 5, 4, seed=seed) for seed in range(4))
    angles = normals(4, 2, seed=5)

    def turned(part):
        a, b = part[..., 1:, :].chunk(2, -1) if in_halves else (part[..., 1:, ::2], part[..., 1:, 1::2])
        both = torch.complex(a, b) * torch.polar(torch.ones_like(angles), angles)
        places = torch.cat([both.real, both.imag], -1) if in_halves else torch.view_as_real(both).flatten(-2)
        return torch.cat([part[..., :1, :], places], dim=-2)

    def mixture(q, k, v):
        return plain(turned(q), turned(k), v)

    twice = angles.repeat(1, 2) if in_halves else angles.repeat_interleave(2, 1)
    rope = torch.cat([twice.sin(), twice.cos()], dim=-1)
    core = AttentionCore(1, 0.5, n_prefix=1, in_halves=in_halves)
    packed = torch.cat([q, k, v], dim=-1)[0]
    output = core(packed, rope=rope)
    torch.testing.assert_close(output, mixture(q, k, v)[0])
    found = carried(lambda x: core.parted(x, rope=rope), weights[0] * output, packed).split(4, dim=-1)
    for part, index, share in zip(found, range(3), (0.25, 0.25, 0.5)):
        expected = share * (q, k, v)[index] * by_differences(mixture, (q, k, v), index, weights)
        torch.testing.assert_close(part, expected[0], rtol=1e-6, atol=1e-9)


def test_learnt_queries_leave_all_of_a_product_to_the_keys():
    q, weights = (normals(1, 1, 2, 3, seed=seed) for seed in (0, 3))
    k, v = (normals(1, 1, 5, 3, seed=seed) for seed in (1, 2))
    core = AttentionCore(1, 0.5)
    packed, queries = torch.cat([k, v], dim=-1)[0], q[0]
    output = core(packed, queries=queries)
    torch.testing.assert_close(output, plain(q, k, v)[0])
    found = carried(lambda x: core.parted(x, queries=queries), weights[0] * output, packed).split(3, dim=-1)
    for part, index in zip(found, (1, 2)):
        expected = 0.5 * (q, k, v)[index] * by_differences(plain, (q, k, v), index, weights)
        torch.testing.assert_close(part, expected[0], rtol=1e-6, atol=1e-9)


def test_heads_share_keys_and_values():
    q, k, v = normals(2, 5, 8, seed=1), normals(2, 5, 4, seed=2), normals(2, 5, 4, seed=3)
    found = AttentionCore(4, 0.5)(q, k, v)
    for head in range(4):
        own, shared = slice(2 * head, 2 * head + 2), slice(head // 2 * 2, head // 2 * 2 + 2)
        torch.testing.assert_close(found[..., own], plain(q[..., own], k[..., shared], v[..., shared]))


def test_layer_norm_s_rule_is_its_equation():
    norm = nn.LayerNorm(6).double()
    with torch.no_grad():
        norm.weight.normal_(generator=torch.Generator().manual_seed(6))
        norm.bias.normal_(generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(8)
    x, relevance = (torch.randn(1, 3, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    step = detached_norm(norm)
    torch.testing.assert_close(step(x), norm(x))
    found = carried(step, relevance, x)
    for token in range(3):
        scale = norm.weight.detach() / (x[0, token].var(correction=0) + norm.eps).sqrt()
        matrix = torch.diag(scale) @ (torch.eye(6).double() - 1 / 6)
        output = matrix @ x[0, token] + norm.bias.detach()
        torch.testing.assert_close(found[0, token], x[0, token] * (matrix.T @ (relevance[0, token] / output)))
