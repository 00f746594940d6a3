"""What PyTorch needs for a training step of RWKV-7 on one core of this machine.

The measure that `rwkv bench train` is held against: the same sizes, the same work (forward, loss
with L2Wrap, backward, gradient cut at a norm, AdamW), written as a PyTorch user would who cares
for speed: the recurrence in chunks of matrix products, optionally under torch.compile and with
matrix products in bf16. Prints one line per kind with tokens per own CPU-second, the peak memory
and how long the first step took.

    python benches/torch_train.py [eager] [compile] [bf16] [bf16-compile]
"""

import os
import resource
import subprocess
import sys
import time

LAYERS, CHANNELS, HEAD, VOCABULARY = 6, 256, 64, 4096
CONTEXT, BATCH, CHUNK = 256, 8, 32
KINDS = ["eager", "compile", "bf16", "bf16-compile"]


def chunked(torch, r, log_w, k, v, a, b):
    """y of S <- S diag(w) + (S a) b' + v k', y = S r, from a state of zeros.

    All [B, H, T, N]; log_w is the logarithm of the decay. The removed values of a chunk solve a
    triangular system; its inverse is a short product of powers, since the matrix is nilpotent.
    """
    B, H, T, N = r.shape
    L = CHUNK
    cut = lambda x: x.float().reshape(B, H, T // L, L, N)
    r, log_w, k, v, a, b = map(cut, (r, log_w, k, v, a, b))
    upto = log_w.cumsum(3)
    before = upto - log_w
    total = upto[..., -1:, :]
    half = total / 2  # decays are counted from the middle of a chunk, which keeps them in range
    asks, reads = a * (before - half).exp(), r * (upto - half).exp()
    back = (half - upto).exp()
    k_back, b_back = k * back, b * back
    strict = torch.ones(L, L).tril(-1)
    causal = torch.ones(L, L).tril()
    ab = asks @ b_back.mT * strict
    ak = asks @ k_back.mT * strict
    rb = reads @ b_back.mT * causal
    rk = reads @ k_back.mT * causal
    inverse, power = torch.eye(L) + ab, ab
    for _ in range(CHUNK.bit_length() - 2):
        power = power @ power
        inverse = inverse + inverse @ power
    written = inverse @ (ak @ v)
    asked = inverse @ (a * before.exp())
    read_past = r * upto.exp()
    after = (total - upto).exp()
    k_after, b_after = k * after, b * after
    keep = total.exp()
    state = r.new_zeros(B, H, N, N)  # [value, key]
    ys = []
    for c in range(T // L):
        removed = written[:, :, c] + asked[:, :, c] @ state.mT
        ys.append(
            read_past[:, :, c] @ state.mT + rb[:, :, c] @ removed + rk[:, :, c] @ v[:, :, c]
        )
        state = (
            state * keep[:, :, c]
            + removed.mT @ b_after[:, :, c]
            + v[:, :, c].mT @ k_after[:, :, c]
        )
    return torch.stack(ys, 2).reshape(B, H, T, N)


def model(torch):
    nn, F = torch.nn, torch.nn.functional
    C, N = CHANNELS, HEAD
    H = C // N
    ranks = {"w": 32, "a": 32, "v": 32, "g": 64}

    def late(x):
        return F.pad(x, (0, 0, 1, -1))

    def vector():
        return nn.Parameter(torch.rand(1, 1, C))

    class TimeMix(nn.Module):
        def __init__(self, first):
            super().__init__()
            self.first = first
            self.mix = nn.ParameterList([vector() for _ in range(6)])
            self.w0, self.a0, self.v0, self.k_k, self.k_a = (vector() for _ in range(5))
            self.r_k = nn.Parameter(torch.zeros(H, N))
            self.thin = nn.ParameterDict()
            for letter, rank in ranks.items():
                self.thin[letter + "1"] = nn.Parameter(torch.zeros(C, rank))
                self.thin[letter + "2"] = nn.Parameter(torch.randn(rank, C) * 0.1)
            self.r, self.k, self.v, self.o = (nn.Linear(C, C, bias=False) for _ in range(4))
            self.norm = nn.GroupNorm(H, C, eps=64e-5)

        def forward(self, x, v_first):
            B, T, _ = x.shape
            dx = late(x) - x
            x_r, x_w, x_k, x_v, x_a, x_g = (x + dx * mu for mu in self.mix)
            thin = self.thin
            r, k, v = self.r(x_r), self.k(x_k), self.v(x_v)
            if self.first:
                v_first = v
            else:
                share = torch.sigmoid(self.v0 + x_v @ thin["v1"] @ thin["v2"])
                v = v + (v_first - v) * share
            d = self.w0 + torch.tanh(x_w @ thin["w1"]) @ thin["w2"]
            log_w = -0.606531 * torch.sigmoid(d.float())
            a = torch.sigmoid(self.a0 + x_a @ thin["a1"] @ thin["a2"])
            g = torch.sigmoid(x_g @ thin["g1"]) @ thin["g2"]
            kappa = F.normalize((k * self.k_k).view(B, T, H, N), dim=-1)
            k = k * (1 + (a - 1) * self.k_a)
            heads = lambda x: x.view(B, T, H, N).transpose(1, 2)
            back = lambda x: x.transpose(1, 2).reshape(B, T, C)
            kappa = kappa.transpose(1, 2)
            y = back(
                chunked(torch, heads(r), heads(log_w), heads(k), heads(v), -kappa, kappa * heads(a))
            )
            y = self.norm(y.view(B * T, C)).view(B, T, C)
            bonus = (r.view(B, T, H, N) * k.view(B, T, H, N) * self.r_k).sum(-1, keepdim=True)
            y = y + (bonus * v.view(B, T, H, N)).view(B, T, C)
            return self.o(y * g), v_first

    class ChannelMix(nn.Module):
        def __init__(self):
            super().__init__()
            self.x_k = vector()
            self.key = nn.Linear(C, 4 * C, bias=False)
            self.value = nn.Linear(4 * C, C, bias=False)

        def forward(self, x):
            k = x + (late(x) - x) * self.x_k
            return self.value(torch.relu(self.key(k)) ** 2)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(VOCABULARY, C)
            self.ln0, self.ln_out = nn.LayerNorm(C), nn.LayerNorm(C)
            self.norms = nn.ModuleList([nn.LayerNorm(C) for _ in range(2 * LAYERS)])
            self.att = nn.ModuleList([TimeMix(i == 0) for i in range(LAYERS)])
            self.ffn = nn.ModuleList([ChannelMix() for _ in range(LAYERS)])
            self.head = nn.Linear(C, VOCABULARY, bias=False)

        def forward(self, tokens, targets):
            x, v_first = self.ln0(self.emb(tokens)), None
            for i in range(LAYERS):
                y, v_first = self.att[i](self.norms[2 * i](x), v_first)
                x = x + y
                x = x + self.ffn[i](self.norms[2 * i + 1](x))
            logits = self.head(self.ln_out(x)).float().view(-1, VOCABULARY)
            loss = F.cross_entropy(logits, targets.reshape(-1))
            wrap = logits.max(-1).values.square().mean() * 0.5e-4
            return loss, loss + wrap

    return Model()


def measure(kind, steps=4):
    """One process, one kind, one thread; the first step apart from the others."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = model(torch)
    adam = torch.optim.AdamW(
        net.parameters(), lr=6e-4, betas=(0.9, 0.99), eps=1e-18, weight_decay=0.001, fused=True
    )
    run = torch.compile(net) if "compile" in kind else net
    bf16 = torch.autocast("cpu", torch.bfloat16, enabled="bf16" in kind)
    data = torch.randint(0, VOCABULARY, (BATCH, CONTEXT + 1))

    def step():
        with bf16:
            loss, whole = run(data[:, :-1], data[:, 1:])
        whole.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        adam.zero_grad(set_to_none=True)
        return loss.item()

    start = time.time()
    losses = [step()]
    first = time.time() - start
    losses.append(step())
    start = time.process_time()
    losses += [step() for _ in range(steps)]
    speed = steps * BATCH * CONTEXT / (time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(
        f"{kind:<14}{speed:7.0f} tokens/CPU-s  peak {peak:.2f} GB  first step {first:6.1f} s"
        f"  loss {losses[0]:.3f} -> {losses[-1]:.3f}",
        flush=True,
    )


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        measure(sys.argv[2])
    else:
        for kind in sys.argv[1:] or KINDS:
            threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            command = [sys.executable, __file__, "--one", kind]
            subprocess.run(command, env=os.environ | threads, check=True)
