#!/usr/bin/env python3
"""Writes <name>/values.json: for every weight of each trained checkpoint here
its shape, its sum and a few of its elements, under the canonical names of
engine/checkpoint/checkpoint.h, as PyTorch reads the files.

Needs PyTorch. usage: make_values.py
"""

import glob
import json
import pathlib
import pickle
import re
import types

import torch

HERE = pathlib.Path(__file__).resolve().parent
EXPERT = re.compile(r"layers\.(\d+)\.mlp\.deepspeed_moe\.experts\.deepspeed_experts\.(\d+)\.(.*)")
LEAVES = {"dense_h_to_4h": "up", "dense_4h_to_h": "down"}


class AnyClass:
    """Stands for Megatron's own classes, which are not needed."""

    def __init__(self, *args):
        pass


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if module.startswith("megatron"):
            return AnyClass
        return super().find_class(module, name)


PICKLE = types.SimpleNamespace(Unpickler=Unpickler, load=pickle.load,
                               __name__="pickle")


def load(path):
    return torch.load(path, map_location="cpu", weights_only=False,
                      pickle_module=PICKLE)


def merge_qkv(shards, args, interleaved):
    q, k, v = [], [], []
    heads = args.num_attention_heads
    kv_heads = getattr(args, "num_key_value_heads", heads)
    ranks, d = len(shards), args.kv_channels
    for t in shards:
        tail = t.shape[1:]
        if interleaved:
            t = t.reshape(kv_heads // ranks, heads // kv_heads + 2, d, *tail)
            q.append(t[:, :-2].reshape(-1, *tail))
            k.append(t[:, -2].reshape(-1, *tail))
            v.append(t[:, -1].reshape(-1, *tail))
        else:
            n = heads // ranks * d, kv_heads // ranks * d, kv_heads // ranks * d
            for to, part in zip((q, k, v), t.split(n)):
                to.append(part)
    return torch.cat(q + k + v)


def canonical_weights(directory):
    ranks = [load(p) for p in sorted(glob.glob(f"{directory}/mp_rank_*"))]
    args = ranks[0]["args"]
    interleaved = not hasattr(args, "ds_sequence_parallel_fpdt")
    models = [r["module"]["language_model"] for r in ranks]
    cat = lambda get, dim: torch.cat([get(m) for m in models], dim)
    first = models[0]
    out = {"embedding.weight": cat(lambda m: m["embedding"]["word_embeddings"]["weight"], 0)}
    if "position_embeddings" in first["embedding"]:
        out["position_embedding.weight"] = first["embedding"]["position_embeddings"]["weight"]
    if "output_layer" in first:
        out["output.weight"] = cat(lambda m: m["output_layer"]["weight"], 0)
    for key, value in first["encoder"].items():
        shards = [m["encoder"][key] for m in models]
        name = (key.replace("input_layernorm", "attention_norm")
                .replace("post_attention_layernorm", "mlp_norm")
                .replace("final_layernorm", "final_norm")
                .replace("self_attention", "attention")
                .replace("query_key_value", "qkv")
                .replace("attention.dense", "attention.out")
                .replace("mlp.mlp", "mlp")
                .replace("mlp.coefficient", "moe.coefficient")
                .replace("mlp.deepspeed_moe.gate.wg", "moe.gate"))
        for leaf, short in LEAVES.items():
            name = name.replace(leaf, short)
        is_sliced_mlp = ".mlp.dense" in key and ".mlp.mlp." not in key
        if "query_key_value" in key:
            value = merge_qkv(shards, args, interleaved)
        elif key.endswith("attention.dense.weight") or (
                is_sliced_mlp and "4h_to_h.weight" in key):
            value = torch.cat(shards, 1)
        elif is_sliced_mlp and "h_to_4h" in key:
            value = torch.cat(shards, 0)
        out[name] = value
    for path in glob.glob(f"{directory}/layer_*_expert_*"):
        for key, value in load(path).items():
            layer, expert, leaf = EXPERT.search(key).groups()
            for long, short in LEAVES.items():
                leaf = leaf.replace(long, short)
            out[f"layers.{layer}.experts.{expert}.{leaf}"] = value
    return out


def describe(tensor):
    flat = tensor.reshape(-1).double()
    places = [i * (flat.numel() - 1) // 4 for i in range(5)]
    return {"shape": list(tensor.shape), "sum": flat.sum().item(),
            "at": places, "values": [flat[i].item() for i in places]}


def main():
    for directory in sorted(HERE.glob("*/global_step12")):
        weights = canonical_weights(directory)
        lines = [f'"{k}": {json.dumps(describe(v))}'
                 for k, v in sorted(weights.items())]
        (directory.parent / "values.json").write_text(
            "{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
