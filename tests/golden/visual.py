"""VisualRWKV: the tiny models of the other files, put together, and what they make of a picture.

rows    what the language model reads between the text: patches of the tower, projected
span    which of all rows are patches; RWKV-6 reads them backwards in every second block
"""

import numpy as np
from safetensors.numpy import load_file
from pathlib import Path

import towers
import v6
import v7
from golden import Random, layer_norm, save, sigmoid, tree
from types import SimpleNamespace

BEFORE, AFTER = np.array([3, 1, 4]), np.array([1, 5, 9, 2])


def stored(name):
    """The parameters of a golden file."""
    tensors = load_file(Path(__file__).with_name(f"{name}.safetensors"))
    return {name: x.astype(np.float64) for name, x in tensors.items() if "golden" not in name}


def pixels(tower):
    return load_file(Path(__file__).with_name(f"tower_{tower}.safetensors"))["golden.pixels"]


def read(model, p, rows, span=slice(0), backwards=False):
    """Logits after every row, block after block."""
    t, state = tree(p), model.fresh(p)
    lent = [()] * len(rows)  # the values that later blocks of RWKV-7 borrow
    for i, (block, layer) in enumerate(zip(t.blocks, state)):
        order = np.arange(len(rows))
        if backwards and i % 2:
            order[span] = order[span][::-1]
        out = np.empty_like(rows)
        for at in order:
            x = layer_norm(rows[at], block.ln0) if i == 0 else rows[at]
            y = layer_norm(x, block.ln1)
            if model is v7:
                y, v_first = v7.time_mix(block.att, y, layer, *lent[at] or [None])
                lent[at] = (v_first,)
            else:
                y = model.time_mix(block.att, y, layer)
            x = x + y
            out[at] = x + model.channel_mix(block.ffn, layer_norm(x, block.ln2), layer)
        rows = out
    return layer_norm(rows, t.ln_out) @ t.head.weight.T


def finch(random):
    """Patches, then the class row; one matrix."""
    p = stored("v6")
    hidden, patches = towers.clip(towers.Weights(stored("tower_clip")), pixels("clip"))
    proj = {"weight": random.normal(v6.C, towers.D)}
    rows = np.vstack([patches, hidden[-1][:1]]) @ proj["weight"].T
    emb = p["emb.weight"]
    span = slice(len(BEFORE), len(BEFORE) + len(patches))
    x = np.vstack([emb[BEFORE], rows, emb[AFTER]])
    return proj, rows, read(v6, p, x, span, backwards=True)


def goose(random):
    """Four means of the patches around them; channels gate themselves."""
    p = stored("v7")
    _, patches = towers.siglip(towers.Weights(stored("tower_siglip")), pixels("siglip"))
    grid = patches.reshape(towers.GRID, towers.GRID, -1)
    x = np.array([grid[y : y + 2, z : z + 2].mean((0, 1)) for y in (0, 1) for z in (0, 1)])
    proj = {
        "gate.weight": random.normal(towers.D, towers.D),
        "o_proj.weight": random.normal(v7.C, towers.D),
        **random.norm("ln_v", v7.C),
    }
    x = (x * sigmoid(x @ proj["gate.weight"].T)) @ proj["o_proj.weight"].T
    norm = SimpleNamespace(weight=proj["ln_v.weight"], bias=proj["ln_v.bias"])
    rows = layer_norm(x, norm)
    emb = p["emb.weight"]
    return proj, rows, read(v7, p, np.vstack([emb[BEFORE], rows, emb[AFTER]]))


if __name__ == "__main__":
    for seed, model in enumerate((finch, goose)):
        proj, rows, logits = model(Random(seed))
        found = {"golden.rows": rows, "golden.logits": logits}
        save(f"visual_{model.__name__}", proj | found, {"golden.before": BEFORE, "golden.after": AFTER})
