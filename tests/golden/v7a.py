"""RWKV-7a: RWKV-7 with DeepEmbed, and the golden numbers of a tiny one.

Every token brings a small matrix of its own, which scales what channel-mix looks at.
"""

import sys

import numpy as np

import golden
import v7
from golden import layer_norm, relu, tree
from v7 import C, F, LAYERS, fresh, random_state  # noqa: F401 (the same state)

D = 3


def channel_mix(ffn, x, layer, token, embedded):
    dx = layer["ffn_x"] - x
    layer["ffn_x"] = x
    k = relu(ffn.key.weight @ (x + dx * ffn.x_k)) ** 2
    matrix = (ffn.s_emb.weight[token] + ffn.s_emb_x.weight @ embedded).reshape(D, D)
    return ffn.value.weight @ (k * ((x @ ffn.s1) @ matrix @ ffn.s2 + ffn.s0))


def forward(parameters, tokens, state):
    """Logits after each token, [T, V]; `state` moves on."""
    p, logits = tree(parameters), []
    for token in tokens:
        embedded = layer_norm(p.emb.weight[token], p.blocks[0].ln0)
        x, v_first = embedded, None
        for block, layer in zip(p.blocks, state):
            y, v_first = v7.time_mix(block.att, layer_norm(x, block.ln1), layer, v_first)
            x = x + y
            x = x + channel_mix(block.ffn, layer_norm(x, block.ln2), layer, token, embedded)
        logits.append(p.head.weight @ layer_norm(x, p.ln_out))
    return np.array(logits)


def parameters(random):
    """A random model with the names of the released checkpoint."""
    normal, p = random.normal, v7.parameters(random)
    for i in range(LAYERS):
        ffn = f"blocks.{i}.ffn."
        p |= {ffn + "s_emb.weight": normal(golden.VOCABULARY, D * D)}
        p |= {ffn + "s_emb_x.weight": normal(D * D, C), ffn + "s0": normal(1, 1, F, mean=1.0)}
        p |= {ffn + "s1": normal(C, D), ffn + "s2": normal(D, F)}
    return p


if __name__ == "__main__":
    golden.write("v7a", sys.modules[__name__], seed=71)
