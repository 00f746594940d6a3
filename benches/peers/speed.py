"""Reading speed of rwkv-lab beside its peers, on the same random RWKV, on this machine.

    pip install numpy torch safetensors gguf llama-cpp-python rwkv transformers rwkv.cpp
    cargo build --release
    python benches/peers/speed.py [--version 7|6|4] [--size 0.1b] [--rounds 3] [--threads 2]

Every program is measured in processes of its own, in turns, round after round; the table has medians
of the rounds, each of which is the best of a few tries. A peer that is not installed is left out; one
that reads other numbers than rwkv-lab is an error.
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

from programs import PROGRAMS, TEXTS, write_rwkv_cpp

HERE = pathlib.Path(__file__).resolve().parent
PROMPT, DECODED, TRIES, PATIENCE = 512, 32, 5, 10
# The rows of the table, and the versions that have them.
ROWS = {
    "rwkv-lab bf16": "467",
    "llama.cpp f16": "67",
    "rwkv.cpp f16": "4",
    "rwkv-lab q8": "467",
    "llama.cpp q8_0": "67",
    "rwkv-lab q4": "467",
    "llama.cpp q4_0": "67",
    "rwkv-lab f32": "467",
    "pip rwkv fp32": "467",
    "transformers f32": "4",
    "pip rwkv bf16": "467",
    "transformers bf16": "4",
}
# How far logits may be from ours in f32, beside their size. Pip rwkv computes with the file's bf16
# before it turns that into fp32, and 4 bits are few for random numbers.
ROUNDING = {"f32": 1e-4, "fp32": 0.03, "f16": 0.01, "bf16": 0.1, "q8": 0.1, "q4": 0.8}
PROBE = list(range(1, 13))
OURS = """["bf16", "q8", "q4", "f32"].map(|kind|
    load_model(args()[0], #{ dtype: kind }).forward_gpt(PROBE).last.to_array().extract(0, 64))"""


def best(work):
    """The least seconds that something takes, in a few tries or about ten seconds."""
    seconds = []
    while len(seconds) < TRIES and sum(seconds) < PATIENCE:
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peer(name, folder, threads):
    """Measures one peer in this process."""
    program, kind = name.rsplit(" ", 1)
    load, read, texts = PROGRAMS[program](folder, kind, threads)
    found = {"load": load, "logits": [float(x) for x in read(PROBE)[:64]]}

    def decode():
        for token in range(DECODED):
            read([token])

    found["decode"] = DECODED / best(decode)
    if texts:
        found["texts"] = TEXTS / best(texts)
    found["prefill"] = PROMPT / best(lambda: read(list(range(PROMPT))))
    print(json.dumps(found))


def write(folder, given):
    """Writes one random model as the files of all programs."""
    run = lambda *words: subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    model = f"{folder}/model.safetensors"
    run(given.rwkv, "bench", "--write", model, "--size", given.size, "--version", given.version)
    run(given.rwkv, "convert", model, f"{folder}/model.pth")
    if given.version == "4":
        return write_rwkv_cpp(folder)
    for kind in ("f16", "q8_0", "q4_0"):
        run(sys.executable, HERE / "to_gguf.py", model, f"{folder}/{kind}.gguf", kind)


def command(name, folder, given):
    """What measures a program, in a process of its own."""
    if name.startswith("rwkv-lab"):
        way = name.split()[-1].replace("bf16", "stored")
        return [given.rwkv, "--no-init", "bench", f"{folder}/model.safetensors", "--way", way]
    return [sys.executable, __file__, "--peer", name, folder, "--threads", str(given.threads)]


def measure(folder, given):
    """What every program did, in every round."""
    env = {**os.environ, "RAYON_NUM_THREADS": str(given.threads),
           "RWKV_V7_ON": str(int(given.version == "7"))}
    found = {name: [] for name, versions in ROWS.items() if given.version in versions}
    for _ in range(given.rounds):
        for name, rounds in found.items():
            words = command(name, folder, given)
            done = subprocess.run(words, env=env, capture_output=True, text=True)
            if done.returncode == 0:
                rounds.append(json.loads(done.stdout.strip().splitlines()[-1]))
            else:
                print(f"{name} is left out: {done.stderr[-300:]}", file=sys.stderr)
    return {name: rounds for name, rounds in found.items() if rounds}


def check(found, folder, given):
    """Do all programs read the same numbers?"""
    code, model = OURS.replace("PROBE", str(PROBE)), f"{folder}/model.safetensors"
    words = [given.rwkv, "--no-init", "--json", "run", "--evaluate", code, model]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    ours = dict(zip(("bf16", "q8", "q4", "f32"), json.loads(told)))
    size = lambda numbers: sum(x * x for x in numbers) ** 0.5
    for name, rounds in found.items():
        kind = name.split()[-1].removesuffix("_0")
        logits = ours[kind] if name.startswith("rwkv-lab") else rounds[0]["logits"]
        far = size([x - y for x, y in zip(logits, ours["f32"])]) / size(ours["f32"])
        assert far < ROUNDING[kind], f"{name}: its logits are {far:.1e} away"
        print(name, f"{far:.1e}", file=sys.stderr)


def table(found, given):
    """The medians, in Markdown."""
    print(f"| RWKV-{given.version} {given.size}, {given.threads} threads | decode, tokens/s "
          f"| {TEXTS} texts, tokens/s | prompt of {PROMPT}, tokens/s | load, s |")
    print("|---|---|---|---|---|")
    for name, rounds in found.items():
        median = {key: statistics.median(one[key] for one in rounds)
                  for key in ("decode", "texts", "prefill", "load") if key in rounds[0]}
        texts = f"{median['texts']:.0f}" if "texts" in median else ""
        print(f"| {name} | {median['decode']:.1f} | {texts} | {median['prefill']:.0f} "
              f"| {median['load']:.2f} |")


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--version", default="7", choices=["7", "6", "4"])
    words.add_argument("--size", default="0.1b")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--threads", type=int, default=os.cpu_count())
    words.add_argument("--rwkv", default=str(HERE.parent.parent / "target/release/rwkv"))
    words.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.peer:
        return peer(*given.peer, given.threads)
    with tempfile.TemporaryDirectory() as folder:
        write(folder, given)
        found = measure(folder, given)
        check(found, folder, given)
    table(found, given)


main()
