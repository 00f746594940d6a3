"""RWKV-4a: RWKV-4 with tiny attention after one block, and the golden numbers of a tiny one.

tiny       the memory of tiny attention, M: a matrix that maps keys to values, [value C, key D]
"""

import sys

import numpy as np

import golden
import v4
from golden import layer_norm, tree
from v4 import C, LAYERS

D, WHERE = 4, 1


def tiny_attention(block, x, embedded, layer):
    """M ← M + v kᵀ, y = M q / √D: attention without a softmax; v comes from the raw embedding."""
    x = layer_norm(x, block.tiny_ln)
    q, k = block.tiny_q.weight @ x, block.tiny_k.weight @ x
    layer["tiny"] = layer["tiny"] + np.outer(block.tiny_v.weight @ embedded, k)
    return layer["tiny"] @ q / np.sqrt(len(q))


def forward(parameters, tokens, state):
    """Logits after each token, [T, V]; `state` moves on."""
    p, logits = tree(parameters), []
    for token in tokens:
        embedded = p.emb.weight[token]
        x = layer_norm(embedded, p.blocks[0].ln0)
        for block, layer in zip(p.blocks, state):
            x = x + v4.time_mix(block.att, layer_norm(x, block.ln1), layer)
            x = x + v4.channel_mix(block.ffn, layer_norm(x, block.ln2), layer)
            if "tiny" in layer:
                x = x + tiny_attention(block, x, embedded, layer)
        logits.append(p.head.weight @ layer_norm(x, p.ln_out))
    return np.array(logits)


def fresh(parameters):
    state = v4.fresh(parameters)
    state[WHERE]["tiny"] = np.zeros((C, D))
    return state


def random_state(random):
    state = v4.random_state(random)
    state[WHERE]["tiny"] = random.normal(C, D)
    return state


def parameters(random):
    block = f"blocks.{WHERE}."
    p = v4.parameters(random) | random.norm(block + "tiny_ln", C)
    p |= {block + m + ".weight": random.normal(D, C) for m in ("tiny_q", "tiny_k")}
    return p | {block + "tiny_v.weight": random.normal(C, C)}


if __name__ == "__main__":
    golden.write("v4a", sys.modules[__name__], seed=41)
