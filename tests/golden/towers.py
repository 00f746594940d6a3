"""Vision towers, and the golden numbers of a tiny one of each kind.

x       rows of a picture, [T, D]: one for every patch, behind those of no place (class, registers)
pixels  what a tower reads, [3, height, width]

Names are those of the files: Hugging Face (clip, siglip, dinov2), timm, and the encoder of SAM.
"""

from math import erf

import numpy as np
from golden import Random, layer_norm, save, sigmoid
from pictures import matrix
from types import SimpleNamespace

D, H, F, BLOCKS, PATCH = 8, 2, 12, 2, 2
GRID, WIDER = 3, 4  # patches along a side: of the positions, and of timm's picture
SAM_GRID, WINDOW, NECK = 6, 4, 4


class Weights:
    """Tensors by name, seen from one place in the name tree."""

    def __init__(self, tensors, prefix=""):
        self.tensors, self.prefix = tensors, prefix

    def at(self, name):
        return Weights(self.tensors, f"{self.prefix}{name}.")

    def __getitem__(self, name):
        return self.tensors[self.prefix + name].astype(np.float64)

    def get(self, name, otherwise):
        return self[name] if self.prefix + name in self.tensors else otherwise


def linear(x, w):
    return x @ w["weight"].T + w["bias"]


def norm(x, w, eps):
    return layer_norm(x, SimpleNamespace(weight=w["weight"], bias=w["bias"]), eps)


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def gelu(x):
    return x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2


def gelu_tanh(x):
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def gelu_quick(x):
    return x * sigmoid(1.702 * x)


def patches(pixels, w):
    """A convolution whose steps are as wide as its window."""
    weight, bias = w["weight"], w.get("bias", 0)
    _, height, width = pixels.shape
    rows = []
    for y in range(0, height, PATCH):
        for x in range(0, width, PATCH):
            seen = pixels[:, y : y + PATCH, x : x + PATCH]
            rows.append((weight * seen).sum((1, 2, 3)) + bias)
    return np.array(rows)


def look(q, k, v, far=0):
    """Every row of every head looks at all rows of it; `far` is added to the scores."""
    heads = [np.split(z, H, -1) for z in (q, k, v)]
    found = []
    for i, (q, k, v) in enumerate(zip(*heads)):
        more = far[i] if len(np.shape(far)) else 0
        found.append(softmax(q @ k.T / np.sqrt(q.shape[-1]) + more) @ v)
    return np.concatenate(found, -1)


def hugging_face(x, w, act, eps):
    """A block of CLIP or SigLIP."""
    att = w.at("self_attn")
    y = norm(x, w.at("layer_norm1"), eps)
    y = look(*(linear(y, att.at(name + "_proj")) for name in "qkv"))
    x = x + linear(y, att.at("out_proj"))
    y = act(linear(norm(x, w.at("layer_norm2"), eps), w.at("mlp.fc1")))
    return x + linear(y, w.at("mlp.fc2"))


def clip(w, pixels):
    w = w.at("vision_model")
    e = w.at("embeddings")
    x = np.vstack([e["class_embedding"], patches(pixels, e.at("patch_embedding"))])
    x = norm(x + e["position_embedding.weight"], w.at("pre_layrnorm"), 1e-5)
    hidden = [x]
    for i in range(BLOCKS):
        hidden.append(hugging_face(hidden[-1], w.at(f"encoder.layers.{i}"), gelu_quick, 1e-5))
    return hidden, hidden[-1][1:]


def siglip(w, pixels):
    w = w.at("vision_model")
    e = w.at("embeddings")
    hidden = [patches(pixels, e.at("patch_embedding")) + e["position_embedding.weight"]]
    for i in range(BLOCKS):
        hidden.append(hugging_face(hidden[-1], w.at(f"encoder.layers.{i}"), gelu_tanh, 1e-6))
    return hidden, norm(hidden[-1], w.at("post_layernorm"), 1e-6)


def dinov2(w, pixels):
    e = w.at("embeddings")
    x = np.vstack([e["cls_token"][0], patches(pixels, e.at("patch_embeddings.projection"))])
    hidden = [x + e["position_embeddings"][0]]
    for i in range(BLOCKS):
        b = w.at(f"encoder.layer.{i}")
        x, att = hidden[-1], b.at("attention.attention")
        y = norm(x, b.at("norm1"), 1e-6)
        y = look(*(linear(y, att.at(name)) for name in ("query", "key", "value")))
        x = x + linear(y, b.at("attention.output.dense")) * b["layer_scale1.lambda1"]
        y = gelu(linear(norm(x, b.at("norm2"), 1e-6), b.at("mlp.fc1")))
        hidden.append(x + linear(y, b.at("mlp.fc2")) * b["layer_scale2.lambda1"])
    return hidden, norm(hidden[-1], w.at("layernorm"), 1e-6)[1:]


def timm(w, pixels):
    """The grid of positions is stretched to that of the picture; the last block is not asked."""
    position = w["pos_embed"].reshape(GRID, GRID, D)
    along = matrix("bicubic", GRID, WIDER)
    position = np.einsum("yi,xj,ijd->yxd", along, along, position).reshape(-1, D)
    x = patches(pixels, w.at("patch_embed.proj")) + position
    hidden = [np.vstack([w["cls_token"][0], w["reg_token"][0], x])]
    for i in range(BLOCKS):
        b, x = w.at(f"blocks.{i}"), hidden[-1]
        y = linear(norm(x, b.at("norm1"), 1e-6), b.at("attn.qkv"))
        x = x + linear(look(*np.split(y, 3, -1)), b.at("attn.proj")) * b["ls1.gamma"]
        y = gelu(linear(norm(x, b.at("norm2"), 1e-6), b.at("mlp.fc1")))
        hidden.append(x + linear(y, b.at("mlp.fc2")) * b["ls2.gamma"])
    return hidden, hidden[-2][-WIDER * WIDER :]


def sam_look(x, w):
    """A picture or a window of it, [side, side, D]: scores know how far away a row is."""
    side = len(x)
    q, k, v = np.split(linear(x.reshape(-1, D), w.at("qkv")), 3, -1)
    down, across = w["rel_pos_h"], w["rel_pos_w"]
    far = np.zeros((H, side * side, side * side))
    for head, asked in enumerate(np.split(q, H, -1)):
        for i in range(side * side):
            for j in range(side * side):
                dy, dx = i // side - j // side, i % side - j % side
                far[head, i, j] = asked[i] @ (down[dy + side - 1] + across[dx + side - 1])
    return linear(look(q, k, v, far), w.at("proj")).reshape(x.shape)


def sam(w, pixels):
    """The first block looks inside of windows, filled up with zeros; the second everywhere."""
    x = patches(pixels, w.at("patch_embed.proj")).reshape(SAM_GRID, SAM_GRID, D) + w["pos_embed"][0]
    for i in range(BLOCKS):
        b = w.at(f"blocks.{i}")
        y = norm(x, b.at("norm1"), 1e-6)
        if i == 0:
            more = -SAM_GRID % WINDOW
            y = np.pad(y, ((0, more), (0, more), (0, 0)))
            for top in range(0, len(y), WINDOW):
                for left in range(0, len(y), WINDOW):
                    place = np.s_[top : top + WINDOW, left : left + WINDOW]
                    y[place] = sam_look(y[place], b.at("attn"))
            y = y[:SAM_GRID, :SAM_GRID]
        else:
            y = sam_look(y, b.at("attn"))
        x = x + y
        y = gelu(linear(norm(x, b.at("norm2"), 1e-6), b.at("mlp.lin1")))
        x = x + linear(y, b.at("mlp.lin2"))
    x = norm(x @ w["neck.0.weight"][:, :, 0, 0].T, w.at("neck.1"), 1e-6)
    around = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    x = sum(
        around[y : y + SAM_GRID, z : z + SAM_GRID] @ w["neck.2.weight"][:, :, y, z].T
        for y in range(3)
        for z in range(3)
    )
    x = norm(x, w.at("neck.3"), 1e-6)
    rows = []
    for y in range(0, SAM_GRID, 2):
        for z in range(0, SAM_GRID, 2):
            rows.append(x[y : y + 2, z : z + 2].transpose(2, 0, 1).reshape(-1))
    return [], np.array(rows)


# -- parameters --


def affine(random, name, rows, columns):
    weight = random.normal(rows, columns, scale=0.9 / np.sqrt(columns))
    return {name + ".weight": weight, name + ".bias": random.normal(rows, scale=0.1)}


def block(random, at, norms, att, layers, scales=()):
    p = {}
    for name in norms:
        p |= random.norm(at + name, D)
    for name, rows in att:
        p |= affine(random, at + name, rows, D)
    p |= affine(random, at + layers[0], F, D) | affine(random, at + layers[1], D, F)
    return p | {at + name: random.normal(D, mean=0.5, scale=0.2) for name in scales}


def parameters(kind, random):
    normal = random.normal
    proj = {"weight": normal(D, 3, PATCH, PATCH, scale=0.3), "bias": normal(D, scale=0.1)}
    named = lambda at: {at + "." + name: x for name, x in proj.items()}
    layers = ("mlp.fc1", "mlp.fc2")
    if kind in ("clip", "siglip"):
        e = "vision_model.embeddings."
        rows = GRID * GRID + (kind == "clip")
        p = {e + "position_embedding.weight": normal(rows, D), **named(e + "patch_embedding")}
        if kind == "clip":
            del p[e + "patch_embedding.bias"]
            p |= {e + "class_embedding": normal(D)} | random.norm("vision_model.pre_layrnorm", D)
        p |= random.norm("vision_model.post_layernorm", D)
        names = [(f"self_attn.{name}_proj", D) for name in ("k", "v", "q", "out")]
        for i in range(BLOCKS):
            at = f"vision_model.encoder.layers.{i}."
            p |= block(random, at, ("layer_norm1", "layer_norm2"), names, layers)
    elif kind == "dinov2":
        e = "embeddings."
        p = {e + "cls_token": normal(1, 1, D), e + "mask_token": normal(1, D)}
        p |= {e + "position_embeddings": normal(1, GRID * GRID + 1, D)}
        p |= named(e + "patch_embeddings.projection") | random.norm("layernorm", D)
        names = [(f"attention.attention.{name}", D) for name in ("query", "key", "value")]
        names.append(("attention.output.dense", D))
        scales = ("layer_scale1.lambda1", "layer_scale2.lambda1")
        for i in range(BLOCKS):
            p |= block(random, f"encoder.layer.{i}.", ("norm1", "norm2"), names, layers, scales)
    elif kind == "timm":
        p = {"cls_token": normal(1, 1, D), "reg_token": normal(1, 2, D)}
        p |= {"pos_embed": normal(1, GRID * GRID, D), **named("patch_embed.proj")}
        names, scales = [("attn.qkv", 3 * D), ("attn.proj", D)], ("ls1.gamma", "ls2.gamma")
        for i in range(BLOCKS):
            p |= block(random, f"blocks.{i}.", ("norm1", "norm2"), names, layers, scales)
    else:
        p = {"pos_embed": normal(1, SAM_GRID, SAM_GRID, D), **named("patch_embed.proj")}
        names, layers = [("attn.qkv", 3 * D), ("attn.proj", D)], ("mlp.lin1", "mlp.lin2")
        for i, side in enumerate((WINDOW, SAM_GRID)):
            p |= block(random, f"blocks.{i}.", ("norm1", "norm2"), names, layers)
            for axis in "hw":
                p[f"blocks.{i}.attn.rel_pos_{axis}"] = normal(2 * side - 1, D // H)
        p |= {"neck.0.weight": normal(NECK, D, 1, 1)} | random.norm("neck.1", NECK)
        p |= {"neck.2.weight": normal(NECK, NECK, 3, 3)} | random.norm("neck.3", NECK)
    return p


if __name__ == "__main__":
    for seed, model in enumerate((clip, siglip, dinov2, timm, sam)):
        kind, random = model.__name__, Random(seed)
        sides = {"timm": WIDER, "sam": SAM_GRID}.get(kind, GRID) * PATCH
        stored, pixels = parameters(kind, random), random.normal(3, sides, sides, scale=1.0)
        hidden, rows = model(Weights(stored), pixels.astype(np.float64))
        found = {f"golden.hidden.{i}": x for i, x in enumerate(hidden)}
        save(f"tower_{kind}", stored | found | {"golden.pixels": pixels, "golden.patches": rows})
