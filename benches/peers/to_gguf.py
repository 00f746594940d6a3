"""Writes a BlinkDL RWKV-7 checkpoint (safetensors) as GGUF, for llama.cpp.

    python to_gguf.py MODEL.safetensors OUT.gguf f16|q8_0|q4_0

Matrices of projections, the embedding and the head get the type; thin ones stay f16, vectors f32, as
llama.cpp's own converter leaves them. There is no vocabulary in it: benchmarks read token ids.
"""

import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors import safe_open

MATRICES = {
    "att.receptance": "time_mix_receptance",
    "att.key": "time_mix_key",
    "att.value": "time_mix_value",
    "att.output": "time_mix_output",
    "ffn.key": "channel_mix_key",
    "ffn.value": "channel_mix_value",
}
THIN = ["w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"]
VECTORS = ["w0", "a0", "v0", "k_k", "k_a", "r_k"]


def main(source, target, kind):
    file = safe_open(source, "pt")
    names = set(file.keys())
    get = lambda name: file.get_tensor(name).float().numpy()
    layers = 1 + max(int(name.split(".")[1]) for name in names if name.startswith("blocks."))
    heads, size = get("blocks.0.att.r_k").shape
    c = heads * size

    out = gguf.GGUFWriter(target, "rwkv7")
    out.add_context_length(1048576)
    out.add_embedding_length(c)
    out.add_block_count(layers)
    out.add_layer_norm_eps(1e-5)
    out.add_wkv_head_size(size)
    out.add_feed_forward_length(get("blocks.0.ffn.key.weight").shape[0])
    out.add_head_count(0)
    out.add_token_shift_count(2)
    out.add_decay_lora_rank(get("blocks.0.att.w1").shape[1])
    out.add_iclr_lora_rank(get("blocks.0.att.a1").shape[1])
    out.add_value_residual_mix_lora_rank(get("blocks.1.att.v1").shape[1])
    out.add_gate_lora_rank(get("blocks.0.att.g1").shape[1])
    out.add_vocab_size(get("emb.weight").shape[0])
    out.add_tokenizer_model("no_vocab")
    out.add_file_type({"f16": 1, "q8_0": 7, "q4_0": 2}[kind])

    kinds = {"f16": Type.F16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0}

    def add(name, values, kind):
        values = np.ascontiguousarray(values, np.float32)
        out.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    matrix = lambda name, key: add(name, get(key), kinds[kind])
    vector = lambda name, key: add(name, get(key).reshape(-1), Type.F32)
    matrix("token_embd.weight", "emb.weight")
    matrix("output.weight", "head.weight")
    for name, key in [("token_embd_norm", "blocks.0.ln0"), ("output_norm", "ln_out")]:
        vector(f"{name}.weight", f"{key}.weight")
        vector(f"{name}.bias", f"{key}.bias")
    for i in range(layers):
        new, old = f"blk.{i}.", f"blocks.{i}."
        for name, key in [("attn_norm", "ln1"), ("attn_norm_2", "ln2"), ("time_mix_ln", "att.ln_x")]:
            vector(f"{new}{name}.weight", f"{old}{key}.weight")
            vector(f"{new}{name}.bias", f"{old}{key}.bias")
        for key, name in MATRICES.items():
            matrix(f"{new}{name}.weight", f"{old}{key}.weight")
        blends = [get(f"{old}att.x_{letter}").reshape(1, 1, c) for letter in "rwkvag"]
        add(f"{new}time_mix_lerp_fused.weight", np.stack(blends), Type.F32)
        vector(f"{new}channel_mix_lerp_k.weight", f"{old}ffn.x_k")
        # The first block borrows from nobody, but llama.cpp wants these tensors there too.
        instead = lambda key: key if old + "att." + key in names else "a" + key[1:]
        for key in THIN:
            values = get(f"{old}att.{instead(key)}").T
            add(f"{new}time_mix_{key}.weight", values, Type.F16)
        for key in VECTORS:
            vector(f"{new}time_mix_{key}.weight", f"{old}att.{instead(key)}")
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


main(*sys.argv[1:])
