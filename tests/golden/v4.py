"""RWKV-4 ("Dove"), one token at a time, and the golden numbers of a tiny one.

x          what runs through the blocks, [C]
att_x      what time-mix saw at the previous token; ffn_x the same for channel-mix
wkv        the memory: rows aa, bb (weighted sums of values and of weights, both divided by e^pp)
           and pp (the largest exponent so far), [1, 3, C]
"""

import sys

import numpy as np

import golden
from golden import larger, layer_norm, relu, sigmoid, tree

LAYERS, C, F = 2, 8, 32


def time_mix(att, x, layer):
    blend = lambda mu: x * mu + layer["att_x"] * (1 - mu)  # μ = share of the current token
    r = sigmoid(att.receptance.weight @ blend(att.time_mix_r))
    k = att.key.weight @ blend(att.time_mix_k)
    v = att.value.weight @ blend(att.time_mix_v)
    layer["att_x"] = x

    wkv = recurrence(att, k, v, layer)
    return att.output.weight @ (r * wkv)


def recurrence(att, k, v, layer):
    """wkv = (Σ e^(age·w + k_i) v_i + e^(u + k) v) / (the same without v), exponents kept ≤ 0."""
    u, w = att.time_first, -np.exp(att.time_decay)
    aa, bb, pp = layer["wkv"][0]

    # Asked of the past, with the current token as it is: bonus instead of decay.
    q = larger(pp, u + k)
    wkv = (np.exp(pp - q) * aa + np.exp(u + k - q) * v) / (np.exp(pp - q) * bb + np.exp(u + k - q))

    # The past fades by one token; the current one joins it.
    q = larger(pp + w, k)
    aa = np.exp(pp + w - q) * aa + np.exp(k - q) * v
    bb = np.exp(pp + w - q) * bb + np.exp(k - q)
    layer["wkv"] = np.stack([aa, bb, q])[None]
    return wkv


def channel_mix(ffn, x, layer):
    blend = lambda mu: x * mu + layer["ffn_x"] * (1 - mu)
    r = sigmoid(ffn.receptance.weight @ blend(ffn.time_mix_r))
    k = relu(ffn.key.weight @ blend(ffn.time_mix_k)) ** 2
    layer["ffn_x"] = x
    return r * (ffn.value.weight @ k)


def forward(parameters, tokens, state):
    """Logits after each token, [T, V]; `state` moves on."""
    p, logits = tree(parameters), []
    for token in tokens:
        x = layer_norm(p.emb.weight[token], p.blocks[0].ln0)
        for block, layer in zip(p.blocks, state):
            x = x + time_mix(block.att, layer_norm(x, block.ln1), layer)
            x = x + channel_mix(block.ffn, layer_norm(x, block.ln2), layer)
        logits.append(p.head.weight @ layer_norm(x, p.ln_out))
    return np.array(logits)


def fresh(parameters):
    """The state before the first token: nothing remembered, pp far below any exponent."""
    c, layers = parameters["emb.weight"].shape[1], len(tree(parameters).blocks)
    wkv = np.stack([np.zeros(c), np.zeros(c), np.full(c, -1e30)])[None]
    return [{"att_x": np.zeros(c), "ffn_x": np.zeros(c), "wkv": wkv} for _ in range(layers)]


def random_state(random):
    """bb is a sum of weights, so it is positive."""

    def layer():
        aa, bb, pp = random.normal(C), np.abs(random.normal(C)) + np.float32(0.5), random.normal(C)
        return {"att_x": random.normal(C), "ffn_x": random.normal(C), "wkv": np.stack([aa, bb, pp])[None]}

    return [layer() for _ in range(LAYERS)]


def parameters(random):
    """A random model with the names of the released checkpoints."""
    normal, v = random.normal, golden.VOCABULARY
    p = {"emb.weight": normal(v, C), "head.weight": normal(v, C), **random.norm("ln_out", C)}
    p |= random.norm("blocks.0.ln0", C)
    for i in range(LAYERS):
        block, att, ffn = f"blocks.{i}.", f"blocks.{i}.att.", f"blocks.{i}.ffn."
        p |= random.norm(block + "ln1", C) | random.norm(block + "ln2", C)
        p |= {att + "time_mix_" + m: normal(1, 1, C, mean=0.5, scale=0.3) for m in "kvr"}
        p |= {att + "time_decay": normal(C, mean=-1, scale=1.0), att + "time_first": normal(C)}
        p |= {att + m + ".weight": normal(C, C) for m in ("receptance", "key", "value", "output")}
        p |= {ffn + "time_mix_" + m: normal(1, 1, C, mean=0.5, scale=0.3) for m in "kr"}
        p |= {ffn + "key.weight": normal(F, C), ffn + "receptance.weight": normal(C, C)}
        p |= {ffn + "value.weight": normal(C, F)}
    return p


if __name__ == "__main__":
    golden.write("v4", sys.modules[__name__], seed=4)
