"""RWKV-5 ("Eagle") in its three releases, and the golden numbers of tiny ones.

wkv        the memory S, per head a matrix that maps keys to values, [H, value N, key N]

5.0 has one decay per head and the logarithm of its bonus; 5.1 adds a gate and stores the bonus
itself; 5.2 has a decay and a bonus per channel. The rest is RWKV-4.
"""

from types import SimpleNamespace

import numpy as np

import golden
import v4
from golden import head_norm, layer_norm, outer, silu, tree

LAYERS, H, N, F = 2, 2, 4, 28
C = H * N


def time_mix(att, x, layer):
    blend = lambda mu: x * mu + layer["att_x"] * (1 - mu)  # μ = share of the current token
    r = (att.receptance.weight @ blend(att.time_mix_r)).reshape(H, N)
    k = (att.key.weight @ blend(att.time_mix_k)).reshape(H, N)
    v = (att.value.weight @ blend(att.time_mix_v)).reshape(H, N)
    gate = silu(att.gate.weight @ blend(att.time_mix_g)) if hasattr(att, "gate") else 1
    layer["att_x"] = x

    w = np.exp(-np.exp(att.time_decay)).reshape(H, -1)
    u = (np.exp(att.time_first) if hasattr(att, "time_first") else att.time_faaaa).reshape(H, -1)
    layer["wkv"], y = recurrence(layer["wkv"], r, w, k, v, u)
    return att.output.weight @ (head_norm(y, att.ln_x) * gate)


def recurrence(s, r, w, k, v, u):
    """y = (S + v (u ⊙ k)ᵀ) r of the old S, S ← S diag(w) + v kᵀ per head."""
    y = ((s + outer(v, u * k)) @ r[:, :, None])[:, :, 0]
    return s * w[:, None, :] + outer(v, k), y


def forward(parameters, tokens, state):
    """Logits after each token, [T, V]; `state` moves on."""
    p, logits = tree(parameters), []
    for token in tokens:
        x = layer_norm(p.emb.weight[token], p.blocks[0].ln0)
        for block, layer in zip(p.blocks, state):
            x = x + time_mix(block.att, layer_norm(x, block.ln1), layer)
            x = x + v4.channel_mix(block.ffn, layer_norm(x, block.ln2), layer)
        logits.append(p.head.weight @ layer_norm(x, p.ln_out))
    return np.array(logits)


def fresh(parameters):
    """The state before the first token: nothing remembered."""
    zeros = lambda: {"att_x": np.zeros(C), "ffn_x": np.zeros(C), "wkv": np.zeros((H, N, N))}
    return [zeros() for _ in range(LAYERS)]


def random_state(random):
    normal = random.normal
    return [{"att_x": normal(C), "ffn_x": normal(C), "wkv": normal(H, N, N)} for _ in range(LAYERS)]


def parameters(random, release):
    """A random model with the names and shapes of the released checkpoints."""
    normal, v = random.normal, golden.VOCABULARY
    p = {"emb.weight": normal(v, C), "head.weight": normal(v, C), **random.norm("ln_out", C)}
    p |= random.norm("blocks.0.ln0", C)
    matrices = ["receptance", "key", "value", "output"] + ["gate"] * (release > 0)
    per = (H, N) if release == 2 else (H,)
    for i in range(LAYERS):
        block, att, ffn = f"blocks.{i}.", f"blocks.{i}.att.", f"blocks.{i}.ffn."
        p |= random.norm(block + "ln1", C) | random.norm(block + "ln2", C)
        mixed = "kvrg" if release > 0 else "kvr"
        p |= {att + "time_mix_" + m: normal(1, 1, C, mean=0.5, scale=0.3) for m in mixed}
        p |= {att + "time_decay": normal(*per, mean=-1, scale=1.0)}
        p |= {att + ("time_first" if release == 0 else "time_faaaa"): normal(*per)}
        p |= {att + m + ".weight": normal(C, C) for m in matrices}
        p |= random.norm(att + "ln_x", C)
        p |= {ffn + "time_mix_" + m: normal(1, 1, C, mean=0.5, scale=0.3) for m in "kr"}
        p |= {ffn + "key.weight": normal(F, C), ffn + "receptance.weight": normal(C, C)}
        p |= {ffn + "value.weight": normal(C, F)}
    return p


if __name__ == "__main__":
    for release in (0, 1, 2):
        model = SimpleNamespace(forward=forward, fresh=fresh, random_state=random_state)
        model.parameters = lambda random: parameters(random, release)
        golden.write(f"v5_{release}", model, seed=50 + release)
