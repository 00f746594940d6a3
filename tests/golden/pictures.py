"""Pillow's way to resize a picture, and what it makes of a small one.

Every new level is a weighted sum of old ones: columns first, rounded to levels, then rows. Weights
have 22 bits behind the point (Pillow 10, Resample.c).
"""

import numpy as np
from golden import save

BITS = 22
OLD = (11, 7)  # width, height
NEW = [(5, 4), (23, 16), (11, 3), (2, 7)]


def triangle(x):
    return max(0.0, 1 - abs(x))


def cubic(x):
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def lanczos(x):
    return float(np.sinc(x) * np.sinc(x / 3)) if -3 <= x < 3 else 0.0


FILTERS = {"lanczos": (lanczos, 3), "bilinear": (triangle, 1), "bicubic": (cubic, 2)}


def matrix(name, old, new):
    """What each new number is made of, [new, old]; every row sums up to 1."""
    weight, reach = FILTERS[name]
    spread = max(1.0, old / new)
    rows = np.zeros((new, old))
    for i in range(new):
        center = (i + 0.5) * old / new
        first = max(0, int(center - reach * spread + 0.5))
        end = min(old, int(center + reach * spread + 0.5))
        for j in range(first, end):
            rows[i, j] = weight((j - center + 0.5) / spread)
    return rows / rows.sum(1, keepdims=True)


def along_rows(x, name, new):
    """[height, width, 3] to another width."""
    weights = matrix(name, x.shape[1], new) * 2**BITS
    weights = np.trunc(weights + np.copysign(0.5, weights)).astype(np.int64)
    sums = np.einsum("nw,hwc->hnc", weights, x.astype(np.int64))
    return np.clip((sums + 2 ** (BITS - 1)) >> BITS, 0, 255)


def resize(x, name, width, height):
    x = along_rows(x, name, width)
    return along_rows(x.swapaxes(0, 1), name, height).swapaxes(0, 1)


if __name__ == "__main__":
    width, height = OLD
    old = np.random.default_rng(6).integers(0, 256, (height, width, 3))
    old[2:5, 3:8] = [250, 3, 128]  # an edge, at which cubics overshoot
    pictures = {"old": old}
    for name in FILTERS:
        for width, height in NEW:
            pictures[f"{name}.{width}.{height}"] = resize(old, name, width, height)
    save("pictures", {"golden." + name: picture for name, picture in pictures.items()})
