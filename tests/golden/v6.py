"""RWKV-6 ("Finch"), one token at a time, and the golden numbers of a tiny one.

wkv        the memory S, per head a matrix that maps keys to values, [H, value N, key N]

As RWKV-5.2, but the token decides how much of the one before it reads, and how fast S fades.
"""

import sys

import numpy as np

import golden
from golden import head_norm, layer_norm, relu, sigmoid, silu, tree
from v5 import C, H, LAYERS, N, fresh, random_state, recurrence  # noqa: F401 (the same state)

F, RANK, DECAY_RANK = 28, 3, 5


def time_mix(att, x, layer):
    dx = layer["att_x"] - x
    layer["att_x"] = x
    asked = np.tanh((x + dx * att.time_maa_x) @ att.time_maa_w1).reshape(5, RANK)
    more = [asked[i] @ att.time_maa_w2[i] for i in range(5)]
    x_w, x_k, x_v, x_r, x_g = (
        x + dx * (getattr(att, "time_maa_" + m) + more[i]) for i, m in enumerate("wkvrg")
    )

    d = att.time_decay + np.tanh(x_w @ att.time_decay_w1) @ att.time_decay_w2
    r, k, v = att.receptance.weight @ x_r, att.key.weight @ x_k, att.value.weight @ x_v
    r, w, k, v = (z.reshape(H, N) for z in (r, np.exp(-np.exp(d)), k, v))
    layer["wkv"], y = recurrence(layer["wkv"], r, w, k, v, att.time_faaaa)
    return att.output.weight @ (head_norm(y, att.ln_x) * silu(att.gate.weight @ x_g))


def channel_mix(ffn, x, layer):
    dx = layer["ffn_x"] - x
    layer["ffn_x"] = x
    r = sigmoid(ffn.receptance.weight @ (x + dx * ffn.time_maa_r))
    k = relu(ffn.key.weight @ (x + dx * ffn.time_maa_k)) ** 2
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


def parameters(random):
    """A random model with the names and shapes of the released checkpoints."""
    normal, v = random.normal, golden.VOCABULARY
    p = {"emb.weight": normal(v, C), "head.weight": normal(v, C), **random.norm("ln_out", C)}
    p |= random.norm("blocks.0.ln0", C)
    for i in range(LAYERS):
        block, att, ffn = f"blocks.{i}.", f"blocks.{i}.att.", f"blocks.{i}.ffn."
        p |= random.norm(block + "ln1", C) | random.norm(block + "ln2", C)
        p |= {att + "time_maa_" + m: normal(1, 1, C, mean=0.5, scale=0.3) for m in "xwkvrg"}
        p |= {att + "time_maa_w1": normal(C, 5 * RANK), att + "time_maa_w2": normal(5, RANK, C)}
        p |= {att + "time_decay": normal(1, 1, C, mean=-1, scale=1.0)}
        p |= {att + "time_decay_w1": normal(C, DECAY_RANK)}
        p |= {att + "time_decay_w2": normal(DECAY_RANK, C), att + "time_faaaa": normal(H, N)}
        matrices = ("receptance", "key", "value", "gate", "output")
        p |= {att + m + ".weight": normal(C, C) for m in matrices} | random.norm(att + "ln_x", C)
        p |= {ffn + "time_maa_" + m: normal(1, 1, C, mean=0.5, scale=0.3) for m in "kr"}
        p |= {ffn + "key.weight": normal(F, C), ffn + "receptance.weight": normal(C, C)}
        p |= {ffn + "value.weight": normal(C, F)}
    return p


if __name__ == "__main__":
    golden.write("v6", sys.modules[__name__], seed=6)
