"""Reading speed of rwkv-lab beside its peers, on the same random RWKV-7, on this machine.

    pip install numpy torch safetensors gguf llama-cpp-python rwkv
    cargo build --release
    python benches/peers/speed.py [--size 0.1b] [--rounds 3] [--threads 2]

Every program is measured in processes of its own, in turns, round after round; the table has medians of
the rounds, each of which is the best of a few tries. A peer that is not installed is left out.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PROMPT, DECODED, TRIES = 512, 32, 4


def best(work):
    """The least seconds that something takes."""
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def llama(path, threads):
    """llama.cpp, without the buffers that repack weights for AMX: those ended in a crash."""
    import llama_cpp as api

    # Kept for as long as the library may call it.
    llama.quiet = api.llama_log_callback(lambda *_: None)
    api.llama_log_set(llama.quiet, None)
    api.llama_backend_init()
    start = time.perf_counter()
    settings = api.llama_model_default_params()
    settings.use_extra_bufts = "f16" in path
    model = api.llama_model_load_from_file(path.encode(), settings)
    settings = api.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = 8192, PROMPT, PROMPT
    settings.n_threads = settings.n_threads_batch = threads
    context = api.llama_init_from_model(model, settings)
    load = time.perf_counter() - start

    def read(tokens):
        ids = (api.llama_token * len(tokens))(*tokens)
        assert api.llama_decode(context, api.llama_batch_get_one(ids, len(tokens))) == 0

    return load, read, lambda: None


def pip_rwkv(path, threads, strategy):
    """The package of RWKV's author, on PyTorch."""
    os.environ |= {"RWKV_V7_ON": "1", "RWKV_JIT_ON": "1", "RWKV_CUDA_ON": "0"}
    import torch

    torch.set_num_threads(threads)
    start = time.perf_counter()
    from rwkv.model import RWKV

    model = RWKV(model=path.removesuffix(".pth"), strategy=f"cpu {strategy}")
    load = time.perf_counter() - start
    state = [None]

    def read(tokens):
        _, state[0] = model.forward(tokens, state[0])

    def forget():
        state[0] = None

    return load, read, forget


def peer(name, path, threads):
    """Measures one peer in this process."""
    if name == "llama":
        load, read, forget = llama(path, threads)
    else:
        load, read, forget = pip_rwkv(path, threads, name)
    read([100])

    def decode():
        for token in range(DECODED):
            read([token])

    decode = DECODED / best(decode)
    forget()
    prefill = PROMPT / best(lambda: read([1 + i for i in range(PROMPT)]))
    print(json.dumps({"load": load, "decode": decode, "prefill": prefill}))


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--size", default="0.1b")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--threads", type=int, default=os.cpu_count())
    words.add_argument("--rwkv", default=str(HERE.parent.parent / "target/release/rwkv"))
    words.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.peer:
        return peer(*given.peer, given.threads)

    env = {**os.environ, "RAYON_NUM_THREADS": str(given.threads)}
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model.safetensors"
        subprocess.run([given.rwkv, "bench", "--write", model, "--size", given.size], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([given.rwkv, "convert", model, f"{folder}/model.pth"], check=True,
                       stdout=subprocess.DEVNULL)
        for kind in ("f16", "q8_0", "q4_0"):
            make = [sys.executable, HERE / "to_gguf.py", model, f"{folder}/{kind}.gguf", kind]
            subprocess.run(make, check=True)

        def ours(way):
            return [given.rwkv, "--no-init", "bench", model, "--way", way]

        def theirs(name, file):
            words = ["--peer", name, f"{folder}/{file}", "--threads", str(given.threads)]
            return [sys.executable, __file__, *words]

        programs = {
            "rwkv-lab bf16": ours("stored"),
            "llama.cpp f16": theirs("llama", "f16.gguf"),
            "rwkv-lab q8": ours("q8"),
            "llama.cpp q8_0": theirs("llama", "q8_0.gguf"),
            "rwkv-lab q4": ours("q4"),
            "llama.cpp q4_0": theirs("llama", "q4_0.gguf"),
            "rwkv-lab f32": ours("f32"),
            "pip rwkv fp32": theirs("fp32", "model.pth"),
            "pip rwkv bf16": theirs("bf16", "model.pth"),
        }
        found = {name: [] for name in programs}
        for _ in range(given.rounds):
            for name, command in programs.items():
                done = subprocess.run(command, env=env, capture_output=True, text=True)
                if done.returncode == 0:
                    found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
    print(f"| RWKV-7 {given.size}, {given.threads} threads | decode, tokens/s "
          f"| prompt of {PROMPT}, tokens/s | load, s |\n|---|---|---|---|")
    for name, rounds in found.items():
        if rounds:
            median = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
            print(f"| {name} | {median['decode']:.1f} | {median['prefill']:.0f} "
                  f"| {median['load']:.2f} |")


main()
