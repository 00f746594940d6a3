"""What the golden scripts share: small functions, a gradient, and the file they write.

Everything is float64 (or complex128 while a gradient is taken) and one token at a time: the
slowest and clearest form of each model, which the Rust code has to agree with.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from safetensors.numpy import save_file

TOKENS = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 10, 0, 3, 2, 3, 8, 4, 6])  # > 16
VOCABULARY = 11


# -- equations that several versions use --


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def layer_norm(x, norm, eps=1e-5):
    """Over the last axis; not np.var, which takes absolute values of complex numbers."""
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * norm.weight + norm.bias


def head_norm(y, norm):
    """A layer norm within each head, [H, N] → [C]."""
    weight, bias = norm.weight.reshape(y.shape), norm.bias.reshape(y.shape)
    return layer_norm(y, SimpleNamespace(weight=weight, bias=bias), eps=64e-5).reshape(-1)


def silu(x):
    return x * sigmoid(x)


def outer(column, row):
    """Per head, [H, N] and [H, N] → [H, N, N]."""
    return column[:, :, None] * row[:, None, :]


def relu(x):
    return np.where(x.real > 0, x, 0)


def larger(a, b):
    """np.maximum that looks at the real part only."""
    return np.where(np.real(a) > np.real(b), a, b)


# -- parameters --


def tree(parameters):
    """{"blocks.0.att.key.weight": W, ..} as t.blocks[0].att.key.weight, [1, 1, C] as [C]."""
    root = SimpleNamespace()
    for name, value in parameters.items():
        node = root
        *path, last = name.split(".")
        for part in path:
            node = node.__dict__.setdefault(part, SimpleNamespace())
        setattr(node, last, value.squeeze())
    root.blocks = [root.blocks.__dict__[str(i)] for i in range(len(root.blocks.__dict__))]
    return root


class Random:
    """Reproducible float32 numbers, as a checkpoint stores them."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def normal(self, *shape, mean=0.0, scale=0.5):
        return (mean + scale * self.generator.standard_normal(shape)).astype(np.float32)

    def norm(self, name, channels):
        """Parameters of a layer norm."""
        return {name + ".weight": self.normal(channels, mean=1), name + ".bias": self.normal(channels)}


# -- what is measured --


def cross_entropy(logits, targets):
    """Mean of −log softmax(logits)[target] in nats."""
    highest = logits.real.max(-1, keepdims=True)
    log_sum = np.log(np.exp(logits - highest).sum(-1)) + highest[:, 0]
    return (log_sum - logits[np.arange(len(targets)), targets]).mean()


def gradient(loss, parameters, step=1e-20):
    """d loss / d parameter by the complex step, exact to rounding: Im f(x + ih) / h."""
    gradients = {}
    for name, value in parameters.items():
        gradients[name] = np.zeros(value.shape)
        for index in np.ndindex(value.shape):
            moved = value.astype(np.complex128)
            moved[index] += 1j * step
            gradients[name][index] = loss({**parameters, name: moved}).imag / step
    return gradients


def greedy(model, parameters, logits, state, count=8):
    """The most likely tokens that follow, and by how much the closest of them won."""
    ids, margin = [], np.inf
    for _ in range(count):
        second, first = np.sort(logits)[-2:]
        margin = min(margin, first - second)
        ids.append(int(np.argmax(logits)))
        logits = model.forward(parameters, ids[-1:], state)[0]
    return np.array(ids), margin


def named(prefix, state):
    """Per layer {"att_x": .., "ffn_x": .., "wkv": ..} as flat names."""
    return {f"{prefix}.{i}.{key}": x for i, layer in enumerate(state) for key, x in layer.items()}


def write(version, model, seed):
    """Runs `model` (a module with `parameters`, `fresh`, `random_state`, `forward`), saves all."""
    random = Random(seed)
    stored = model.parameters(random)
    parameters = {name: value.astype(np.float64) for name, value in stored.items()}
    initial = model.random_state(random)

    state = model.fresh(parameters)
    logits = model.forward(parameters, TOKENS, state)
    final = named("golden.state", [dict(layer) for layer in state])
    following, margin = greedy(model, parameters, logits[-1], state)

    started = [dict(layer) for layer in initial]
    init_logits = model.forward(parameters, TOKENS, started)

    def loss(p):
        return cross_entropy(model.forward(p, TOKENS[:-1], model.fresh(p)), TOKENS[1:])

    def continued_loss(matrices):
        started = [{**layer, "wkv": wkv} for layer, wkv in zip(initial, matrices.values())]
        return cross_entropy(model.forward(parameters, TOKENS[:-1], started), TOKENS[1:])

    matrices = {f"{i}.wkv": layer["wkv"] for i, layer in enumerate(initial)}
    of_state = gradient(continued_loss, matrices)

    exact = {
        "golden.logits": logits,
        "golden.loss": np.array(loss(parameters)),
        "golden.init_logits": init_logits,
        **final,
        **named("golden.init", initial),
        **{f"golden.init_grad.{name}": g for name, g in of_state.items()},
        **{f"golden.grad.{name}": g for name, g in gradient(loss, parameters).items()},
    }
    ids = {"golden.tokens": TOKENS, "golden.greedy": following}
    save(version, stored | exact, ids)
    print(f"loss {exact['golden.loss']:.6f}, greedy {following.tolist()} by at least {margin:.3f}")


def save(name, numbers, ids={}):
    """Numbers as float32, ids as int64."""
    path = Path(__file__).with_name(f"{name}.safetensors")
    floats = {key: np.asarray(x, dtype=np.float32, order="C") for key, x in numbers.items()}
    save_file(floats | {key: x.astype(np.int64) for key, x in ids.items()}, path)
    print(f"{path.name}: {path.stat().st_size} bytes")
