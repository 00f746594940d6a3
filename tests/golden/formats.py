"""The tiny models of this folder as other programs would store them, and blocks of packed numbers.

Each function turns BlinkDL's names and orientations into those of one program, which is the inverse
of what the Rust code does when it opens such a file. Needs numpy, safetensors and gguf.
"""

import json
import struct
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent
OUT = HERE / "formats"


def model(version):
    tensors = load_file(HERE / f"{version}.safetensors")
    return {name: x for name, x in tensors.items() if not name.startswith("golden.")}


def blocks(tensors):
    """(layer, rest of the name, tensor) of what lies in blocks; layer None for the others."""
    for name, x in tensors.items():
        if name.startswith("blocks."):
            _, layer, rest = name.split(".", 2)
            yield int(layer), rest, x
        else:
            yield None, name, x


def rename(text, table):
    for ours, theirs in table.items():
        if text.startswith(ours):
            return theirs + text[len(ours):]
    return text


# -- Hugging Face --


def hugging_face(tensors):
    """RWKV-4 of transformers; RWKV-5 and 6 with code of their own."""
    words = {"k": "key", "v": "value", "r": "receptance", "g": "gate"}
    out = {}
    for layer, rest, x in blocks(tensors):
        if layer is None:
            out[rename(rest, {"emb.": "rwkv.embeddings.", "ln_out.": "rwkv.ln_out."})] = x
            continue
        rest = rename(rest, {"ln0.": "pre_ln.", "att.": "attention.", "ffn.": "feed_forward."})
        head, mix, letter = rest.partition(".time_mix_")
        out[f"rwkv.blocks.{layer}.{head}" + (mix + words[letter] if mix else "")] = x
    return out


FLA_WHOLE = {"emb.": "model.embeddings.", "ln_out.": "model.norm.", "head.": "lm_head."}
FLA_BLOCK = {
    "ln0.": "pre_norm.", "ln1.": "attn_norm.", "ln2.": "ffn_norm.", "att.ln_x.": "attn.g_norm.",
    "att.receptance.": "attn.r_proj.", "att.key.": "attn.k_proj.", "att.value.": "attn.v_proj.",
    "att.gate.": "attn.g_proj.", "att.output.": "attn.o_proj.", "att.": "attn.",
}


def fla7(tensors):
    """RWKV-7 of flash-linear-attention, with the six blends in one tensor as in older files."""
    out, blends = {}, {}
    for layer, rest, x in blocks(tensors):
        start, last = f"model.layers.{layer}.", rest.removeprefix("att.")
        if layer is None:
            out[rename(rest, FLA_WHOLE)] = x
        elif rest.startswith("att.x_"):
            blends.setdefault(layer, {})[last[2]] = x.reshape(-1)
        elif len(last) == 2 and last[0] in "wavg" and last[1] in "012":
            place = {"0": "2.bias", "1": "0.weight", "2": "2.weight"}[last[1]]
            out[f"{start}attn.{last[0]}_lora.lora.{place}"] = x.T if last[1] != "0" else x.reshape(-1)
        else:
            out[start + rename(rest, FLA_BLOCK)] = x
    for layer, x in blends.items():
        out[f"model.layers.{layer}.attn.x_x"] = np.stack([x[m] for m in "rwkvag"])
    return out


def fla6(tensors):
    """RWKV-6 of flash-linear-attention: r, w, k, v, g where BlinkDL has w, k, v, r, g."""
    order = ["wkvrg".index(m) for m in "rwkvg"]
    out, blends = {}, {}
    for layer, rest, x in blocks(tensors):
        start = f"model.layers.{layer}."
        if layer is None:
            out[rename(rest, FLA_WHOLE)] = x
        elif rest == "att.time_maa_x":
            out[start + "attn.x_proj.0.mu"] = x.reshape(-1)
        elif rest == "att.time_maa_w1":
            groups = x.T.reshape(5, -1, x.shape[0])[order]
            out[start + "attn.x_proj.0.linear.weight"] = groups.reshape(-1, x.shape[0])
        elif rest == "att.time_maa_w2":
            out[start + "attn.x_proj.2.weight"] = x[order].transpose(2, 0, 1).reshape(x.shape[2], -1)
        elif rest.startswith("att.time_maa_"):
            blends.setdefault(layer, {})[rest[-1]] = x.reshape(-1)
        elif rest.startswith("att.time_decay"):
            place = {"w1": "0.weight", "w2": "2.weight"}.get(rest[-2:], "2.bias")
            out[f"{start}attn.w_proj.linear.lora.{place}"] = x.T if x.ndim == 2 else x.reshape(-1)
        elif rest == "att.time_faaaa":
            out[start + "attn.bonus"] = x
        elif rest.startswith("ffn.time_maa_"):
            out[start + {"k": "ffn.key.mu", "r": "ffn.receptance.mu"}[rest[-1]]] = x.reshape(-1)
        else:
            rest = rename(rest, FLA_BLOCK)
            for m in ("attn.r_proj", "attn.k_proj", "attn.v_proj", "attn.g_proj", "ffn.key", "ffn.receptance"):
                rest = rename(rest, {m + ".weight": m + ".linear.weight"})
            out[start + rest] = x
    for layer, x in blends.items():
        out[f"model.layers.{layer}.attn.x_bias"] = np.stack([x[m] for m in "rwkvg"])
    return out


# -- web-rwkv --

TURNED = ("time_mix_w1", "time_mix_w2", "time_decay_w1", "time_decay_w2")
TURNED += ("w1", "w2", "a1", "a2", "g1", "g2", "v1", "v2")


def web_rwkv(tensors):
    """The `.st` dialect: two renames, thin matrices turned."""
    out = {}
    for name, x in tensors.items():
        name = name.replace("time_faaaa", "time_first").replace("time_maa", "time_mix")
        out[name] = x.swapaxes(-1, -2) if name.split(".")[-1] in TURNED else x
    return out


# -- rwkv.cpp --


def rwkv_cpp(tensors):
    """What its converter does to each tensor before it writes it."""
    out, blends = {}, {}
    normed, thin = "blocks.0.att.ln_x.weight" in tensors, "blocks.0.att.time_maa_x" in tensors
    for name, x in tensors.items():
        last = name.split(".")[-1]
        if last.startswith("x_") and ".att." in name:
            blends.setdefault(name[: -len(last)], {})[last[2]] = x.reshape(1, -1)
            continue
        if last in TURNED or last in ("time_maa_w1", "time_maa_w2"):
            x = x.swapaxes(-1, -2)
        if last == "time_decay" and not thin:
            x = np.exp(-np.exp(x))[..., None] if normed else -np.exp(x)
        if last == "time_first" and normed:
            x = np.exp(x)[..., None]
        if last == "time_faaaa":
            x = x[..., None]
        out[name] = x
    for start, x in blends.items():
        out[start + "x_rwkvag"] = np.stack([x[m] for m in "rwkvag"])
    return out


def write_bin(path, tensors):
    v, c = tensors["emb.weight"].shape
    layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    with open(path, "wb") as f:
        f.write(struct.pack("<6I", 0x67676D66, 101, v, c, layers, 0))
        for name, x in tensors.items():
            key, x = name.encode(), np.ascontiguousarray(x, dtype=np.float32)
            f.write(struct.pack("<3I", x.ndim, len(key), 0))
            f.write(struct.pack(f"<{x.ndim}I", *reversed(x.shape)) + key + x.tobytes())


# -- GGUF --

GGUF_WHOLE = {"emb.": "token_embd.", "ln_out.": "output_norm.", "head.": "output."}
GGUF_BLOCK = {
    "ln0.": "token_embd_norm.", "ln1.": "attn_norm.", "ln2.": "attn_norm_2.", "att.ln_x.": "time_mix_ln.",
    "att.time_faaaa": "time_mix_first.weight", "att.time_decay_w": "time_mix_decay_w",
    "att.time_decay": "time_mix_decay.weight", "att.time_maa_w": "time_mix_w", "att.": "time_mix_",
    "ffn.time_maa_": "channel_mix_lerp_", "ffn.x_": "channel_mix_lerp_", "ffn.": "channel_mix_",
}


def write_gguf(path, family, tensors, head_size, rescale=None):
    """As llama.cpp's converter: thin matrices turned, blends fused, RWKV-6 scaled down."""
    writer = gguf.GGUFWriter(path, family)
    writer.add_name("a tiny model")
    writer.add_uint32(f"{family}.wkv.head_size", head_size)
    if rescale:
        writer.add_uint32(f"{family}.rescale_every_n_layers", rescale)
    writer.add_array("tokenizer.ggml.tokens", ["<s>", "a", "\\n", "\\x80", "[PAD4]"])
    writer.add_string("tokenizer.ggml.model", "rwkv")
    fused, order = {}, "rwkvag" if family == "rwkv7" else "wkvrg"
    for layer, rest, x in blocks(tensors):
        last = rest.split(".")[-1]
        if layer is None:
            writer.add_tensor(rename(rest, GGUF_WHOLE), x)
        elif rest.startswith(("att.x_", "att.time_maa_")) and last[-1] in order and last[-2] == "_":
            fused.setdefault(layer, {})[last[-1]] = x
        else:
            if last in TURNED or last in ("time_maa_w1", "time_maa_w2"):
                x = x.swapaxes(-1, -2)
            if rescale and rest in ("att.output.weight", "ffn.value.weight"):
                x = x / 2 ** (layer // rescale)
            name = rename(rest, {"att.time_maa_x": "time_mix_lerp_x.weight"} | GGUF_BLOCK)
            name += "" if name.endswith((".weight", ".bias")) else ".weight"
            x = x.reshape(-1) if last in ("r_k", "w0", "a0", "v0", "k_k", "k_a") else x
            prefix = "" if name.startswith("token_embd_norm") else f"blk.{layer}."
            writer.add_tensor(prefix + name, np.ascontiguousarray(x, dtype=np.float32))
    for layer, x in fused.items():
        writer.add_tensor(f"blk.{layer}.time_mix_lerp_fused.weight", np.stack([x[m] for m in order]))
        if family == "rwkv7" and layer == 0:  # dummies that nobody reads
            writer.add_tensor("blk.0.time_mix_v1.weight", np.zeros((8, 3), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_packed(path):
    """Random blocks of every type; half precision scales kept ordinary. Returns what they mean."""
    random = np.random.default_rng(3)
    kinds = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "BF16", "F16"]
    writer, expected = gguf.GGUFWriter(path, "rwkv7"), {}
    for kind in kinds:
        kind = gguf.GGMLQuantizationType[kind]
        numbers, size = gguf.GGML_QUANT_SIZES[kind]
        count = 256 // numbers
        packed = random.integers(0, 256, (2, count * size), dtype=np.uint8)
        view = packed.reshape(2, count, size)
        scale = random.uniform(0.01, 0.1, (2, count)).astype(np.float16).view(np.uint8).reshape(2, count, 2)
        halves = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
        if size > 2:
            for at in halves.get(kind.name, [0]):
                view[:, :, at : at + 2] = scale
        else:
            view[:, :, 1] &= 0x3F  # neither infinite nor NaN
        writer.add_tensor(kind.name, packed, raw_dtype=kind)
        expected[kind.name] = gguf.quants.dequantize(packed, kind).astype(np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def save(tensors, path):
    save_file({name: np.ascontiguousarray(x) for name, x in tensors.items()}, path)


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for version in ("v4", "v5_2"):
        save(hugging_face(model(version)), OUT / f"{version}.hf.safetensors")
    save(fla6(model("v6")), OUT / "v6.fla.safetensors")
    save(fla7(model("v7")), OUT / "v7.fla.safetensors")
    for version in ("v5_2", "v6", "v7"):
        save(web_rwkv(model(version)), OUT / f"{version}.st")
    for version in ("v4", "v5_0", "v5_2", "v6", "v7"):
        write_bin(OUT / f"{version}.bin", rwkv_cpp(model(version)))
    write_gguf(OUT / "v6.gguf", "rwkv6", model("v6"), 4, rescale=1)
    write_gguf(OUT / "v7.gguf", "rwkv7", model("v7"), 4)
    save(write_packed(OUT / "packed.gguf"), OUT / "packed.safetensors")

    # A Hugging Face directory: the tensors of one model in two files, and an index.
    folder = OUT / "sharded"
    folder.mkdir(exist_ok=True)
    tensors = sorted(hugging_face(model("v4")).items())
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    save(dict(tensors[::2]), folder / names[0])
    save(dict(tensors[1::2]), folder / names[1])
    index = {"weight_map": {name: names[i % 2] for i, (name, _) in enumerate(tensors)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    (folder / "config.json").write_text('{"model_type": "rwkv", "hidden_size": 8}\n')
