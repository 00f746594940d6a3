"""What we write, opened by PyTorch and by the PyPI package `rwkv`, and what that package writes, by us.

    cargo build --release
    python3 tests/interop.py [PATH OF rwkv]

Needs torch, numpy, safetensors and rwkv; says so and ends well where they are missing. Every model
is a toy of the program, so that nothing has to be downloaded.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TOYS = ["rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7"]
TUNED = ["rwkv5.2", "rwkv6", "rwkv7"]
TEXT = list(b"The state is all that is remembered.")
AFTER = list(b" And then?")
TOLERANCE = 1e-4

# Writes a toy in every kind and type, its logits, and its state as pip rwkv has it.
WRITE = """
let model = load_model("toy:NAME");
for kind in ["pth", "safetensors"] {
    for dtype in ["f32", "bf16", "f16"] { model.save(`NAME-${dtype}.${kind}`, dtype); }
}
convert("NAME-f32.pth", "NAME-converted.safetensors");
convert("NAME-f32.safetensors", "NAME-converted.pth");
let first = model.forward_gpt(TEXT);
let second = model.forward_gpt(AFTER, first.state);
first.state.save("NAME-ours.pth", "pip");
save_tensors("NAME-logits.safetensors", #{ first: first.logits, second: second.logits });
"""

# Goes on from a state that pip rwkv saved.
READ = """
let model = load_model("toy:NAME");
let out = model.forward_gpt(AFTER, load_state("NAME-theirs.pth", model));
save_tensors("NAME-continued.safetensors", #{ logits: out.logits });
"""

# Tunes the first state, and reads from it.
TUNE = """
let model = load_model("toy:NAME");
let schedule = optim::constant(#{ lr_init: 0.3, warmup: 0 });
let trainer = new_trainer(model, #{ tune: "state", schedule: schedule });
for i in 0..3 { trainer.train_step(data::batch([TEXT])); }
trainer.save("NAME-tuned");
save_tensors("NAME-tuned.safetensors", #{ logits: model.forward_gpt(TEXT).logits });
"""


def script(binary, text, name):
    text = text.replace("NAME", name).replace("TEXT", str(TEXT)).replace("AFTER", str(AFTER))
    subprocess.run([binary, "run", "-"], input=text, text=True, check=True)


def files_agree(name):
    """Every file has the same names, the same numbers up to the rounding of its type."""
    import torch
    from safetensors.torch import load_file

    exact = torch.load(f"{name}-f32.pth", weights_only=True, mmap=True)
    others = [f"{name}-converted.pth"] + [f"{name}-{dtype}.pth" for dtype in ("bf16", "f16")]
    opened = {path: torch.load(path, weights_only=True) for path in others}
    others = [f"{name}-converted.safetensors"]
    others += [f"{name}-{dtype}.safetensors" for dtype in ("f32", "bf16", "f16")]
    opened |= {path: load_file(path) for path in others}
    for path, tensors in opened.items():
        assert set(tensors) == set(exact), path
        for key, x in tensors.items():
            expected = exact[key].to(x.dtype)
            assert x.shape == expected.shape and torch.equal(x, expected), f"{path}: {key}"
    return len(opened) + 1


def pip_agrees(binary, name):
    """Logits and states of the package and of ours; the largest difference of each."""
    import torch
    from rwkv.model import RWKV
    from safetensors.torch import load_file

    model = RWKV(model=str(Path(f"{name}-f32").resolve()), strategy="cpu fp32")
    ours = load_file(f"{name}-logits.safetensors")
    logits, state = model.forward(TEXT, None, full_output=True)
    far = {"one pass": (logits - ours["first"]).abs().max().item()}
    torch.save([part.clone() for part in state], f"{name}-theirs.pth")
    script(binary, READ, name)
    continued, _ = model.forward(AFTER, state, full_output=True)
    theirs = load_file(f"{name}-continued.safetensors")["logits"]
    far["their state, our model"] = (continued - theirs).abs().max().item()
    mine = torch.load(f"{name}-ours.pth", weights_only=True)
    assert isinstance(mine, list) and len(mine) == len(state)
    continued, _ = model.forward(AFTER, mine, full_output=True)
    far["our state, their model"] = (continued - ours["second"]).abs().max().item()
    return far


def tuned_agrees(binary, name):
    """A tuned state, put into the package's state as RWKV-LM and ChatRWKV do."""
    import torch
    from rwkv.model import RWKV
    from safetensors.torch import load_file

    script(binary, TUNE, name)
    model = RWKV(model=str(Path(f"{name}-f32").resolve()), strategy="cpu fp32")
    tuned = torch.load(f"{name}-tuned/time_state.pth", weights_only=True)
    _, state = model.forward([0], None)
    state = [torch.zeros_like(part) for part in state]
    for i in range(len(state) // 3):
        matrices = tuned[f"blocks.{i}.att.time_state"].float()
        # Up to RWKV-6 the package keeps [key, value]; the files are [value, key] for all.
        state[3 * i + 1] = matrices if name == "rwkv7" else matrices.transpose(1, 2).contiguous()
    logits, _ = model.forward(TEXT, state, full_output=True)
    ours = load_file(f"{name}-tuned.safetensors")["logits"]
    untuned = load_file(f"{name}-logits.safetensors")["first"]
    assert (ours - untuned).abs().max() > 0.1, "tuning did nothing"
    return (logits - ours).abs().max().item()


def one(binary, name):
    """In a process of its own: the package reads its settings when it is imported."""
    script(binary, WRITE, name)
    print(f"{name}: {files_agree(name)} files read by torch and safetensors, all alike")
    far = pip_agrees(binary, name)
    print(f"{name}: largest difference to pip rwkv:", json.dumps(far))
    assert max(far.values()) < TOLERANCE, far
    if name in TUNED:
        far = tuned_agrees(binary, name)
        print(f"{name}: largest difference to pip rwkv from our tuned state: {far}")
        assert far < TOLERANCE, far


def main():
    try:
        import rwkv  # noqa: F401
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as missing:
        print(f"skipped: {missing}")
        return
    root = Path(__file__).resolve().parent.parent
    given = sys.argv[1] if len(sys.argv) > 1 else root / "target/release/rwkv"
    binary = str(Path(given).resolve())
    with tempfile.TemporaryDirectory() as folder:
        for name in TOYS:
            seven = "1" if name == "rwkv7" else "0"
            settings = {"RWKV_V7_ON": seven, "RWKV_JIT_ON": "0", "RWKV_CUDA_ON": "0"}
            command = [sys.executable, __file__, "--one", binary, name]
            done = subprocess.run(
                command, cwd=folder, env=os.environ | settings, capture_output=True, text=True
            )
            said = [line for line in done.stdout.splitlines() if line.startswith(name)]
            print("\n".join(said))
            if done.returncode != 0:
                sys.exit(f"{name} failed:\n{done.stdout}\n{done.stderr}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])
    else:
        main()
