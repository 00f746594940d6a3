"""RWKV-7 ("Goose"), one token at a time, and the golden numbers of a tiny one.

x          what runs through the blocks, [C] = [H·N]: H heads of N channels
att_x      what time-mix saw at the previous token; ffn_x the same for channel-mix
wkv        the memory S, per head a matrix that maps keys to values, [H, value N, key N]
v_first    the values of block 0, lent to the later blocks; per token, not remembered
"""

import sys

import numpy as np

import golden
from golden import head_norm, layer_norm, outer, relu, sigmoid, tree

LAYERS, H, N, F, RANK = 2, 2, 4, 32, 3
C = H * N


def time_mix(att, x, layer, v_first):
    heads, n = att.r_k.shape
    dx = layer["att_x"] - x
    layer["att_x"] = x
    x_r, x_w, x_k, x_v, x_a, x_g = (x + dx * getattr(att, "x_" + m) for m in "rwkvag")

    r = att.receptance.weight @ x_r
    w = np.exp(-np.exp(-0.5) * sigmoid(att.w0 + np.tanh(x_w @ att.w1) @ att.w2))
    k = att.key.weight @ x_k
    v = att.value.weight @ x_v
    a = sigmoid(att.a0 + (x_a @ att.a1) @ att.a2)
    g = sigmoid(x_g @ att.g1) @ att.g2

    if v_first is None:
        v_first = v
    else:
        v = v + (v_first - v) * sigmoid(att.v0 + (x_v @ att.v1) @ att.v2)

    removal = normalize((k * att.k_k).reshape(heads, n))  # from the key as it was
    k = k * (1 + (a - 1) * att.k_a)

    r, w, k, v, a = (z.reshape(heads, n) for z in (r, w, k, v, a))
    layer["wkv"], y = recurrence(layer["wkv"], r, w, k, v, a, removal)

    y = head_norm(y, att.ln_x)
    bonus = (r * k * att.r_k).sum(-1, keepdims=True) * v
    return att.output.weight @ ((y + bonus.reshape(-1)) * g), v_first


def recurrence(s, r, w, k, v, a, removal):
    """S ← S diag(w) − (S κ)(κ ⊙ a)ᵀ + v kᵀ per head, y = S r of the new S."""
    s_removal = (s @ removal[:, :, None])[:, :, 0]
    s = s * w[:, None, :] - outer(s_removal, removal * a) + outer(v, k)
    return s, (s @ r[:, :, None])[:, :, 0]


def normalize(k):
    """Each head to length one."""
    length = np.sqrt((k * k).sum(-1, keepdims=True))
    return k / golden.larger(length, 1e-12)


def channel_mix(ffn, x, layer):
    dx = layer["ffn_x"] - x
    layer["ffn_x"] = x
    k = relu(ffn.key.weight @ (x + dx * ffn.x_k)) ** 2
    return ffn.value.weight @ k


def forward(parameters, tokens, state):
    """Logits after each token, [T, V]; `state` moves on."""
    p, logits = tree(parameters), []
    for token in tokens:
        x, v_first = layer_norm(p.emb.weight[token], p.blocks[0].ln0), None
        for block, layer in zip(p.blocks, state):
            y, v_first = time_mix(block.att, layer_norm(x, block.ln1), layer, v_first)
            x = x + y
            x = x + channel_mix(block.ffn, layer_norm(x, block.ln2), layer)
        logits.append(p.head.weight @ layer_norm(x, p.ln_out))
    return np.array(logits)


def fresh(parameters):
    """The state before the first token: nothing remembered."""
    (h, n), layers = parameters["blocks.0.att.r_k"].shape, len(tree(parameters).blocks)
    zeros = lambda: {"att_x": np.zeros(h * n), "ffn_x": np.zeros(h * n), "wkv": np.zeros((h, n, n))}
    return [zeros() for _ in range(layers)]


def random_state(random):
    normal = random.normal
    return [{"att_x": normal(C), "ffn_x": normal(C), "wkv": normal(H, N, N)} for _ in range(LAYERS)]


def parameters(random):
    """A random model with the names of the released checkpoints; no v0 v1 v2 in block 0."""
    normal, v = random.normal, golden.VOCABULARY
    p = {"emb.weight": normal(v, C), "head.weight": normal(v, C), **random.norm("ln_out", C)}
    p |= random.norm("blocks.0.ln0", C)
    for i in range(LAYERS):
        block, att, ffn = f"blocks.{i}.", f"blocks.{i}.att.", f"blocks.{i}.ffn."
        p |= random.norm(block + "ln1", C) | random.norm(block + "ln2", C)
        p |= {att + "x_" + m: normal(1, 1, C, mean=0.5, scale=0.3) for m in "rwkvag"}
        for m in "wa" if i == 0 else "wav":
            p |= {att + m + "0": normal(1, 1, C), att + m + "1": normal(C, RANK)}
            p |= {att + m + "2": normal(RANK, C)}
        p |= {att + "g1": normal(C, RANK), att + "g2": normal(RANK, C), att + "r_k": normal(H, N)}
        p |= {att + m: normal(1, 1, C, mean=1.0, scale=0.2) for m in ("k_k", "k_a")}
        p |= {att + m + ".weight": normal(C, C) for m in ("receptance", "key", "value", "output")}
        p |= random.norm(att + "ln_x", C)
        p |= {ffn + "x_k": normal(1, 1, C, mean=0.5, scale=0.3)}
        p |= {ffn + "key.weight": normal(F, C), ffn + "value.weight": normal(C, F)}
    return p


if __name__ == "__main__":
    golden.write("v7", sys.modules[__name__], seed=7)
