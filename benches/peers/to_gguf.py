"""Writes a BlinkDL RWKV-7 or RWKV-6 checkpoint (safetensors) as GGUF, for llama.cpp.

    python to_gguf.py MODEL.safetensors OUT.gguf f16|q8_0|q4_0

Matrices of projections, the embedding and the head get the type; thin ones stay f16 in RWKV-7 and
f32 in RWKV-6, vectors f32, much as llama.cpp's own converter leaves them. There is no vocabulary in
it: benchmarks read token ids.
"""

import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors import safe_open

NORMS = {"ln1": "attn_norm", "ln2": "attn_norm_2", "att.ln_x": "time_mix_ln"}
MATRICES = {
    "att.receptance": "time_mix_receptance",
    "att.key": "time_mix_key",
    "att.value": "time_mix_value",
    "att.output": "time_mix_output",
    "ffn.key": "channel_mix_key",
    "ffn.value": "channel_mix_value",
}
MATRICES_6 = {"att.gate": "time_mix_gate", "ffn.receptance": "channel_mix_receptance"}
# Those whose last two axes llama.cpp wants the other way around.
THIN_7 = {f"att.{key}": f"time_mix_{key}" for key in "w1 w2 a1 a2 v1 v2 g1 g2".split()}
THIN_6 = {
    "att.time_maa_w1": "time_mix_w1",
    "att.time_maa_w2": "time_mix_w2",
    "att.time_decay_w1": "time_mix_decay_w1",
    "att.time_decay_w2": "time_mix_decay_w2",
}
VECTORS_7 = {f"att.{key}": f"time_mix_{key}" for key in "w0 a0 v0 k_k k_a r_k".split()}
VECTORS_7 |= {"ffn.x_k": "channel_mix_lerp_k"}
VECTORS_6 = {
    "att.time_maa_x": "time_mix_lerp_x",
    "att.time_decay": "time_mix_decay",
    "ffn.time_maa_k": "channel_mix_lerp_k",
    "ffn.time_maa_r": "channel_mix_lerp_r",
}
# Blends that lie one after another in a single tensor.
BLENDS_7 = [f"att.x_{letter}" for letter in "rwkvag"]
BLENDS_6 = [f"att.time_maa_{letter}" for letter in "wkvrg"]


def sizes_7(out, get):
    """What llama.cpp wants to know of RWKV-7."""
    out.add_wkv_head_size(get("blocks.0.att.r_k").shape[1])
    out.add_token_shift_count(2)
    out.add_decay_lora_rank(get("blocks.0.att.w1").shape[1])
    out.add_iclr_lora_rank(get("blocks.0.att.a1").shape[1])
    out.add_value_residual_mix_lora_rank(get("blocks.1.att.v1").shape[1])
    out.add_gate_lora_rank(get("blocks.0.att.g1").shape[1])


def sizes_6(out, get):
    """What llama.cpp wants to know of RWKV-6."""
    out.add_wkv_head_size(get("blocks.0.att.time_faaaa").shape[1])
    out.add_rescale_every_n_layers(0)
    out.add_time_mix_extra_dim(get("blocks.0.att.time_maa_w2").shape[1])
    out.add_time_decay_extra_dim(get("blocks.0.att.time_decay_w1").shape[1])


def sizes(out, get, layers, kind):
    """What it wants to know of both."""
    vocab_size, channels = get("emb.weight").shape
    out.add_context_length(1048576)
    out.add_embedding_length(channels)
    out.add_block_count(layers)
    out.add_layer_norm_eps(1e-5)
    out.add_feed_forward_length(get("blocks.0.ffn.key.weight").shape[0])
    out.add_head_count(0)
    out.add_vocab_size(vocab_size)
    out.add_tokenizer_model("no_vocab")
    out.add_file_type({"f16": 1, "q8_0": 7, "q4_0": 2}[kind])


def main(source, target, kind):
    file = safe_open(source, "pt")
    names = set(file.keys())
    get = lambda name: file.get_tensor(name).float().numpy()
    layers = 1 + max(int(name.split(".")[1]) for name in names if name.startswith("blocks."))
    is_7 = "blocks.0.att.r_k" in names

    out = gguf.GGUFWriter(target, "rwkv7" if is_7 else "rwkv6")
    sizes(out, get, layers, kind)
    (sizes_7 if is_7 else sizes_6)(out, get)
    large = {"f16": Type.F16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0}[kind]

    def add(name, values, kind):
        values = np.ascontiguousarray(values, np.float32)
        out.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)

    def norm(name, key):
        add(name, get(f"{key}.weight"), Type.F32)
        out.add_tensor(f"{name}.bias", get(f"{key}.bias"))

    add("token_embd", get("emb.weight"), large)
    add("output", get("head.weight"), large)
    norm("token_embd_norm", "blocks.0.ln0")
    norm("output_norm", "ln_out")
    for i in range(layers):
        new, old = f"blk.{i}.", f"blocks.{i}."
        for key, name in NORMS.items():
            norm(new + name, old + key)
        for key, name in (MATRICES if is_7 else MATRICES | MATRICES_6).items():
            add(new + name, get(f"{old}{key}.weight"), large)
        # The first block borrows from nobody, but llama.cpp wants these tensors there too.
        instead = lambda key: old + (key if old + key in names else key.replace("att.v", "att.a"))
        # In f16, llama.cpp (llama-cpp-python 0.3.36) gets other logits from those of RWKV-6.
        thin = Type.F16 if is_7 else Type.F32
        for key, name in (THIN_7 if is_7 else THIN_6).items():
            add(new + name, get(instead(key)).swapaxes(-1, -2), thin)
        for key, name in (VECTORS_7 if is_7 else VECTORS_6).items():
            add(new + name, get(instead(key)).reshape(-1), Type.F32)
        if not is_7:
            add(f"{new}time_mix_first", get(f"{old}att.time_faaaa"), Type.F32)
        blends = [get(old + key).reshape(1, 1, -1) for key in (BLENDS_7 if is_7 else BLENDS_6)]
        add(f"{new}time_mix_lerp_fused", np.stack(blends), Type.F32)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


main(*sys.argv[1:])
