"""The peers of rwkv-lab, each as something that reads tokens.

Every function loads a model from a folder and returns the seconds that took, `read(tokens)`, which
continues one text and returns the logits after it, and `texts()`, which reads a token of each of
eight texts, or None where the program cannot.
"""

import importlib.util
import os
import subprocess
import sys
import time

TEXTS = 8


def llama(folder, kind, threads):
    """llama.cpp, without the buffers that repack weights for AMX: those ended in a crash."""
    import llama_cpp as api

    # Kept for as long as the library may call it.
    llama.quiet = api.llama_log_callback(lambda *_: None)
    api.llama_log_set(llama.quiet, None)
    api.llama_backend_init()
    start = time.perf_counter()
    settings = api.llama_model_default_params()
    settings.use_extra_bufts = kind == "f16"
    model = api.llama_model_load_from_file(f"{folder}/{kind}.gguf".encode(), settings)
    settings = api.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = 8192, 512, 512
    settings.n_threads = settings.n_threads_batch = threads
    settings.n_seq_max = TEXTS
    context = api.llama_init_from_model(model, settings)
    load = time.perf_counter() - start

    def read(tokens):
        ids = (api.llama_token * len(tokens))(*tokens)
        assert api.llama_decode(context, api.llama_batch_get_one(ids, len(tokens))) == 0
        return api.llama_get_logits(context)

    batch = api.llama_batch_init(TEXTS, 0, 1)
    # Without positions, every text goes on where it is.
    batch.n_tokens, batch.pos = TEXTS, None
    for text in range(TEXTS):
        batch.token[text], batch.logits[text] = 0, 1
        batch.n_seq_id[text], batch.seq_id[text][0] = 1, text

    def texts():
        assert api.llama_decode(context, batch) == 0

    return load, read, texts


def pip_rwkv(folder, kind, threads):
    """The package of RWKV's author, on PyTorch; RWKV_V7_ON tells it whether to read RWKV-7."""
    os.environ |= {"RWKV_JIT_ON": "1", "RWKV_CUDA_ON": "0"}
    import torch

    torch.set_num_threads(threads)
    start = time.perf_counter()
    from rwkv.model import RWKV

    model = RWKV(model=f"{folder}/model", strategy=f"cpu {kind}")
    load = time.perf_counter() - start
    state = None

    def read(tokens):
        nonlocal state
        logits, state = model.forward(tokens, state)
        return logits

    return load, read, None


def transformers(folder, kind, threads):
    """Hugging Face's RWKV-4. Token by token it mixes up the texts of a batch, so it gets one."""
    import torch
    from safetensors.torch import load_file
    from transformers import RwkvConfig, RwkvForCausalLM

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    start = time.perf_counter()
    ours = load_file(f"{folder}/model.safetensors")
    weights = {their_name(name): values for name, values in ours.items()}
    vocab_size, channels = weights["rwkv.embeddings.weight"].shape
    layers = sum(name.endswith("ln1.weight") for name in weights)
    config = RwkvConfig(vocab_size=vocab_size, hidden_size=channels, num_hidden_layers=layers,
                        rescale_every=0)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[kind]
    named = {"config": config, "state_dict": weights, "dtype": dtype}
    model = RwkvForCausalLM.from_pretrained(None, **named).eval()
    load = time.perf_counter() - start
    state = None

    def read(tokens):
        nonlocal state
        done = model(torch.tensor([tokens]), state=state, use_cache=True, logits_to_keep=1)
        state = done.state
        return done.logits[0, -1]

    return load, read, None


def their_name(name):
    """What transformers calls a tensor of RWKV-4."""
    words = [("emb.", "embeddings."), ("blocks.0.ln0", "blocks.0.pre_ln"), (".att.", ".attention."),
             (".ffn.", ".feed_forward."), ("mix_k", "mix_key"), ("mix_v", "mix_value"),
             ("mix_r", "mix_receptance")]
    for ours, theirs in words:
        name = name.replace(ours, theirs)
    return name if name == "head.weight" else f"rwkv.{name}"


def rwkv_cpp(folder, kind, threads):
    """rwkv.cpp. PyPI has its first version only: RWKV-4, one token at a time."""
    package = rwkv_cpp_package()
    # Its modules import each other as if they were not in a package.
    sys.path.append(package)
    from rwkv_cpp_model import RWKVModel
    from rwkv_cpp_shared_library import RWKVSharedLibrary

    start = time.perf_counter()
    model = RWKVModel(RWKVSharedLibrary(f"{package}/librwkv.so"), f"{folder}/{kind}.bin", threads)
    load = time.perf_counter() - start
    state = None

    def read(tokens):
        nonlocal state
        for token in tokens:
            logits, state = model.eval(token, state)
        return logits

    return load, read, None


def rwkv_cpp_package():
    """Where rwkv.cpp is, if it is installed."""
    found = importlib.util.find_spec("rwkv_cpp")
    return found and found.submodule_search_locations[0]


def write_rwkv_cpp(folder):
    """Writes a .pth as the file of rwkv.cpp."""
    if package := rwkv_cpp_package():
        make = [sys.executable, f"{package}/convert_pytorch_to_ggml.py", f"{folder}/model.pth",
                f"{folder}/f16.bin", "float16"]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)


PROGRAMS = {
    "llama.cpp": llama,
    "pip rwkv": pip_rwkv,
    "transformers": transformers,
    "rwkv.cpp": rwkv_cpp,
}
