"""Attention-aware rules, each against a slow oracle written from its equations, in float64."""

from __future__ import annotations

import torch
from torch import nn

from pairx_plugin.relevance import rules
from pairx_plugin.relevance.attention import AttentionCore, detached_norm
from pairx_plugin.relevance.patches import Images, Patch


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
    rule = rules.Norm(step, rules.Stabilizer(1e-15))
    with torch.no_grad():
        (patch,) = rule.propagate(Patch(relevance, Images((0,), 1)), rule.keep((x,), step(x)))
    return patch.values


def test_attention_s_rule_is_its_equations():
    generator = torch.Generator().manual_seed(2)
    qkv = torch.randn(1, 5, 3 * 4, generator=generator, dtype=torch.float64)
    relevance = torch.randn(1, 5, 4, generator=generator, dtype=torch.float64)
    found = carried(AttentionCore(1, 1.0).forward, relevance, qkv)
    q, k, v = qkv[0].split(4, dim=1)
    expected = torch.cat(oracle_of_attention(q, k, v, relevance[0]), dim=1)
    torch.testing.assert_close(found[0], expected, rtol=1e-8, atol=1e-10)


def test_attention_to_all_alike_passes_half_through_its_values():
    """Without queries every token attends to all alike; the softmax has nothing to explain, values have their half."""
    qkv = torch.randn(1, 6, 3 * 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    qkv[..., :4] = 0.0
    relevance = torch.rand(1, 6, 4, dtype=torch.float64)
    found = carried(AttentionCore(2, 0.5).forward, relevance, qkv)
    assert found[..., :8].abs().max() == 0
    torch.testing.assert_close(found[..., 8:].sum(), relevance.sum() / 2)


def test_windows_attend_to_themselves():
    generator = torch.Generator().manual_seed(5)
    qkv = torch.randn(2, 4, 8, 3 * 4, generator=generator, dtype=torch.float64)
    whole = AttentionCore(2, 0.5, window=(4, 4))(qkv)
    alone = AttentionCore(2, 0.5)(qkv[:, :, 4:].reshape(2, 16, 12))
    torch.testing.assert_close(whole[:, :, 4:].reshape(2, 16, 4), alone)


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
