#!/usr/bin/env python3
"""Writes tests/goldens/models: tiny random checkpoints and what they compute.

Every variant of the decoder that Megatron's arguments can switch on gets a
directory in DeepSpeed's layout, with the logits of a few tokens, the routing
and, for some, 200 greedy tokens. All is computed here by plain torch functions
in float64 (the gate in float32), from the published formulas: nothing is
shared with the engine. Seeds are fixed; a seed whose routing or whose greedy
choice is a near-tie is passed over, as no two computations could agree on it.

    python3 tools/training/make_model_goldens.py tests/goldens/models
"""

import argparse
import json
import math
import os
import shutil
import sys

import numpy as np
import torch
import torch.nn.functional as F

# Of all variants without a `sizes`.
SIZES = dict(HIDDEN=32, HEADS=4, HEAD_DIM=8, FFN=32)
HIDDEN, HEADS, HEAD_DIM, FFN = SIZES.values()
LAYERS = 4
VOCAB, PADDED_VOCAB = 59, 64
TOKENS, SEQUENCES = 24, 2
PROMPT, GREEDY = 8, 200
TAG = "global_step7"

# Defaults of a variant; see VARIANTS.
DEFAULTS = dict(
    experts=[0, 0, 0, 0], topk=1, residual=None, kv_heads=HEADS, qkv="interleaved",
    activation="gelu_tanh", norm="layernorm", one_p=False, post_norm=False,
    bias=True, tied=True, rotary=0.0, theta=10000.0, dtype=torch.float16,
    greedy=False, sizes={})

VARIANTS = {
    "dense": dict(greedy=True, dtype=torch.float32),
    "dense_gelu_erf": dict(activation="gelu_erf"),
    "dense_squared_relu": dict(activation="squared_relu"),
    "dense_swiglu": dict(activation="swiglu", dtype=torch.bfloat16),
    "dense_rmsnorm_no_bias_untied": dict(norm="rmsnorm", bias=False, tied=False),
    "dense_layernorm_1p": dict(one_p=True),
    "dense_post_norm": dict(post_norm=True),
    "dense_qkv_version_0": dict(qkv="version_0"),
    "dense_qkv_version_1": dict(qkv="version_1"),
    "dense_qkv_all_q_all_k_all_v": dict(qkv="q_k_v"),
    "dense_gqa": dict(kv_heads=2),
    "dense_gqa_q_k_v": dict(kv_heads=1, qkv="q_k_v"),
    "dense_rotary": dict(rotary=1.0),
    "dense_rotary_partial": dict(rotary=0.5, theta=500.0),
    "moe_top1": dict(experts=[0, 4, 0, 4], dtype=torch.float32),
    "moe_top2": dict(experts=[0, 4, 0, 4], topk=2, greedy=True),
    "moe_top3_every_layer": dict(experts=[4, 4, 5, 5], topk=3),
    "moe_pyramid": dict(experts=[0, 2, 0, 6]),
    "prmoe_a": dict(experts=[0, 2, 0, 4], residual="a"),
    "prmoe_b1": dict(experts=[0, 2, 0, 4], residual="b1"),
    "prmoe_b2": dict(experts=[0, 2, 0, 4], residual="b2", greedy=True),
    "prmoe_b2_swiglu_top2": dict(experts=[0, 4, 0, 4], residual="b2", topk=2,
                                 activation="swiglu", norm="rmsnorm"),
    "moe_llama_like": dict(experts=[0, 4, 0, 4], topk=2, kv_heads=2, rotary=1.0,
                           norm="rmsnorm", activation="swiglu", bias=False,
                           tied=False, greedy=True),
    # No size is a multiple of a vector, and an odd number of channels rotates.
    "dense_odd_sizes": dict(
        sizes=dict(HIDDEN=45, HEADS=9, HEAD_DIM=5, FFN=37), kv_heads=3,
        rotary=0.6, activation="gelu_erf", dtype=torch.float32),
    # Heads that do not make up the hidden size; all experts of a layer chosen.
    "prmoe_odd_sizes": dict(
        sizes=dict(HIDDEN=27, HEADS=3, HEAD_DIM=7, FFN=21), kv_heads=1,
        qkv="q_k_v", rotary=0.5, experts=[0, 3, 0, 2], topk=2, residual="b2",
        activation="swiglu", norm="rmsnorm", bias=False, tied=False),
}


def max_positions(v):
    return PROMPT + GREEDY + 8 if v["greedy"] else TOKENS + 8


# ---------------------------------------------------------------- the weights

def make_weights(v, seed):
    """Float64 weights, rounded to the type of the file. QKV rows: q, k, v."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape, std):
        x = torch.randn(*shape, generator=rng, dtype=torch.float64) * std
        return x.to(v["dtype"]).double()

    def linear(name, rows, columns, std=None):
        w[name + ".weight"] = draw(rows, columns, std=std or 1.4 / columns**0.5)
        if v["bias"]:
            w[name + ".bias"] = draw(rows, std=0.3)

    def norm(name):
        gamma = 1 + 0.3 * torch.randn(HIDDEN, generator=rng, dtype=torch.float64)
        if v["one_p"]:
            gamma -= 1
        w[name + ".weight"] = gamma.to(v["dtype"]).double()
        if v["norm"] == "layernorm":
            w[name + ".bias"] = draw(HIDDEN, std=0.2)

    def mlp(name):
        linear(name + ".up", FFN * (2 if v["activation"] == "swiglu" else 1), HIDDEN)
        linear(name + ".down", HIDDEN, FFN)

    w = {"embedding": draw(PADDED_VOCAB, HIDDEN, std=1.0)}
    if not v["rotary"]:
        w["positions"] = draw(max_positions(v), HIDDEN, std=0.5)
    for l, experts in enumerate(v["experts"]):
        norm(f"{l}.norm1")
        linear(f"{l}.qkv", (HEADS + 2 * v["kv_heads"]) * HEAD_DIM, HIDDEN)
        linear(f"{l}.out", HIDDEN, HEADS * HEAD_DIM)
        norm(f"{l}.norm2")
        if not experts or v["residual"]:
            mlp(f"{l}.mlp")
        for e in range(experts):
            mlp(f"{l}.expert{e}")
        if experts:
            w[f"{l}.gate"] = draw(experts, HIDDEN, std=0.4)
        if experts and v["residual"]:
            w[f"{l}.coefficient.weight"] = draw(2, HIDDEN, std=0.3)
            if v["residual"] != "a":
                w[f"{l}.coefficient.bias"] = draw(2, std=0.5)
    norm("final")
    if not v["tied"]:
        w["output"] = draw(PADDED_VOCAB, HIDDEN, std=1.0)
    return w


# ------------------------------------------------------------ the computation

def affine(w, name, x):
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w else y


def normalise(v, w, name, x):
    gamma = w[name + ".weight"] + (1 if v["one_p"] else 0)
    if v["norm"] == "rmsnorm":
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * gamma
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-5) * gamma + w[name + ".bias"]


def activate(v, z):
    if v["activation"] == "gelu_tanh":
        return 0.5 * z * (1 + torch.tanh(0.79788456 * z * (1 + 0.044715 * z * z)))
    if v["activation"] == "gelu_erf":
        return 0.5 * z * (1 + torch.erf(z / math.sqrt(2)))
    if v["activation"] == "squared_relu":
        return torch.clamp(z, min=0) ** 2
    gate, up = z.chunk(2, dim=-1)
    return gate * torch.sigmoid(gate) * up


def feed_forward(v, w, name, x):
    return affine(w, name + ".down", activate(v, affine(w, name + ".up", x)))


def rotate(v, x):
    """x [tokens, heads, head_dim], from position 0 on; pairs i and i + half."""
    dim = int(HEAD_DIM * v["rotary"])
    half = (dim + 1) // 2
    frequency = v["theta"] ** (-torch.arange(half, dtype=torch.float64) * 2 / dim)
    angle = torch.arange(x.shape[0], dtype=torch.float64)[:, None] * frequency
    cos, sin = angle.cos()[:, None, :], angle.sin()[:, None, :]
    a, b, rest = x[..., :half], x[..., half:2 * half], x[..., 2 * half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)


def attend(v, w, l, x):
    tokens, kv = x.shape[0], v["kv_heads"]
    qkv = affine(w, f"{l}.qkv", x).view(tokens, HEADS + 2 * kv, HEAD_DIM)
    q, k, value = qkv.split([HEADS, kv, kv], dim=1)
    if v["rotary"]:
        q, k = rotate(v, q), rotate(v, k)
    k = k.repeat_interleave(HEADS // kv, dim=1)
    value = value.repeat_interleave(HEADS // kv, dim=1)
    scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(HEAD_DIM)
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    p = scores.masked_fill(future, float("-inf")).softmax(-1)
    context = torch.einsum("hqk,khd->qhd", p, value).reshape(tokens, -1)
    return affine(w, f"{l}.out", context)


def mixture(v, w, l, x, trace):
    p = (x.float() @ w[f"{l}.gate"].float().T).softmax(-1).double()
    order = p.sort(dim=-1, descending=True, stable=True)
    k = v["topk"]
    chosen, ids = order.values[:, :k], order.indices[:, :k]
    margin = 1.0
    if p.shape[1] > 1:
        gaps = order.values[:, :-1] - order.values[:, 1:]
        margin = gaps[:, :k].min().item()
    if k > 1:
        chosen = chosen / chosen.sum(-1, keepdim=True)
    moe = torch.zeros_like(x)
    for t in range(x.shape[0]):
        for weight, e in zip(chosen[t], ids[t].tolist()):
            moe[t] += weight * feed_forward(v, w, f"{l}.expert{e}", x[t])
    trace.append((l, ids, chosen, margin))
    if not v["residual"]:
        return moe
    dense = feed_forward(v, w, f"{l}.mlp", x)
    if v["residual"] == "b1":
        return moe + dense
    c = affine(w, f"{l}.coefficient", x).softmax(-1)
    if v["residual"] == "a":
        return c[:, :1] * dense + c[:, 1:] * moe
    return c[:, :1] * moe + c[:, 1:] * dense


def forward(v, w, tokens):
    """Logits [tokens, VOCAB] and the routing of the MoE layers."""
    x = w["embedding"][tokens]
    if not v["rotary"]:
        x = x + w["positions"][: len(tokens)]
    trace = []
    for l, experts in enumerate(v["experts"]):
        a = normalise(v, w, f"{l}.norm1", x)
        x = (a if v["post_norm"] else x) + attend(v, w, l, a)
        m = normalise(v, w, f"{l}.norm2", x)
        f = mixture(v, w, l, m, trace) if experts else feed_forward(v, w, f"{l}.mlp", m)
        x = (m if v["post_norm"] else x) + f
    y = normalise(v, w, "final", x)
    return y @ w["embedding" if v["tied"] else "output"][:VOCAB].T, trace


# --------------------------------------------------------------- the files

def file_qkv(v, rows):
    """From q, k, v rows to the order of the file; rows [all rows, ...]."""
    kv, tail = v["kv_heads"], rows.shape[1:]
    if v["qkv"] in ("q_k_v", "version_0"):
        return rows
    q, k, value = rows.view(-1, HEAD_DIM, *tail).split([HEADS, kv, kv])
    if v["qkv"] == "version_1":  # head, channel, part
        return torch.stack([q, k, value], dim=2).reshape(-1, *tail)
    q = q.view(kv, HEADS // kv, HEAD_DIM, *tail)
    return torch.cat([q, k[:, None], value[:, None]], dim=1).reshape(-1, *tail)


def write_checkpoint(v, w, directory):
    t = lambda x: x.to(v["dtype"]).clone()
    encoder, files = {}, {}

    def put(target, key, name, order=lambda x: x):
        for part in ("weight", "bias"):
            if f"{name}.{part}" in w:
                target[f"{key}.{part}"] = t(order(w[f"{name}.{part}"]))

    ordinal = 0
    for l, experts in enumerate(v["experts"]):
        layer = f"layers.{l}."
        put(encoder, layer + "input_layernorm", f"{l}.norm1")
        put(encoder, layer + "self_attention.query_key_value", f"{l}.qkv",
            lambda rows: file_qkv(v, rows))
        put(encoder, layer + "self_attention.dense", f"{l}.out")
        put(encoder, layer + "post_attention_layernorm", f"{l}.norm2")
        dense = layer + ("mlp.mlp." if experts else "mlp.")
        put(encoder, dense + "dense_h_to_4h", f"{l}.mlp.up")
        put(encoder, dense + "dense_4h_to_h", f"{l}.mlp.down")
        if not experts:
            continue
        put(encoder, layer + "mlp.coefficient", f"{l}.coefficient")
        moe = layer + ("mlp.moe." if v["residual"] == "a" else "mlp.") + "deepspeed_moe."
        encoder[moe + "gate.wg.weight"] = t(w[f"{l}.gate"])
        for e in range(experts):
            expert = {}
            key = f"language_model.encoder.{moe}experts.deepspeed_experts.{e}."
            put(expert, key + "dense_h_to_4h", f"{l}.expert{e}.up")
            put(expert, key + "dense_4h_to_h", f"{l}.expert{e}.down")
            files[f"layer_{ordinal}_expert_{e}_mp_rank_00_model_states.pt"] = expert
        ordinal += 1
    put(encoder, "final_layernorm", "final")

    model = {"embedding": {"word_embeddings": {"weight": t(w["embedding"])}},
             "encoder": encoder}
    if "positions" in w:
        model["embedding"]["position_embeddings"] = {"weight": t(w["positions"])}
    if "output" in w:
        model["output_layer"] = {"weight": t(w["output"])}
    args = argparse.Namespace(
        num_layers=LAYERS, hidden_size=HIDDEN, num_attention_heads=HEADS,
        num_key_value_heads=v["kv_heads"], kv_channels=HEAD_DIM,
        ffn_hidden_size=FFN, max_position_embeddings=max_positions(v),
        seq_length=max_positions(v), topk=v["topk"], layernorm_epsilon=1e-5,
        normalization=v["norm"], apply_layernorm_1p=v["one_p"],
        apply_residual_connection_post_layernorm=v["post_norm"],
        bias_gelu_fusion=v["activation"] == "gelu_tanh",
        swiglu=v["activation"] == "swiglu",
        squared_relu=v["activation"] == "squared_relu",
        add_bias_linear=v["bias"],
        untie_embeddings_and_output_weights=not v["tied"],
        use_rotary_position_embeddings=v["rotary"] > 0,
        rotary_percent=v["rotary"] or 1.0, rope_theta=v["theta"],
        params_dtype=v["dtype"])
    files["mp_rank_00_model_states.pt"] = {
        "module": {"language_model": model}, "args": args,
        "num_experts": [e for e in v["experts"] if e] or [1],
        "iteration": 7, "global_steps": 7,
        "universal_checkpoint_info": {"original_vocab_size": VOCAB}}
    if v["qkv"] != "version_0":
        files["mp_rank_00_model_states.pt"]["checkpoint_version"] = (
            1.0 if v["qkv"] == "version_1" else 3.0)
    os.makedirs(os.path.join(directory, TAG))
    for name, content in files.items():
        torch.save(content, os.path.join(directory, TAG, name))
    with open(os.path.join(directory, "latest"), "w") as f:
        f.write(TAG)


def write_arrays(arrays, directory):
    """expected.bin, and its index expected.json."""
    index, blob = {}, b""
    for name, value in sorted(arrays.items()):
        value = value.numpy()
        kind = "f32" if value.dtype.kind == "f" else "i32"
        value = value.astype(np.float32 if kind == "f32" else np.int32)
        index[name] = {"dtype": kind, "shape": list(value.shape), "offset": len(blob)}
        blob += value.tobytes()
    with open(os.path.join(directory, "expected.bin"), "wb") as f:
        f.write(blob)
    with open(os.path.join(directory, "expected.json"), "w") as f:
        f.write("{\n" + ",\n".join(
            f" {json.dumps(k)}: {json.dumps(x)}" for k, x in index.items()) + "\n}\n")


def greedy_tokens(v, w, prompt):
    tokens = prompt.tolist()
    for _ in range(GREEDY):
        logits, trace = forward(v, w, torch.tensor(tokens))
        best = logits[-1].topk(2)
        margin = min([m for *_, m in trace], default=1.0)
        if best.values[0] - best.values[1] < 2e-3 or margin < 2e-5:
            return None
        tokens.append(best.indices[0].item())
    return torch.tensor(tokens[len(prompt):])


def expected(v, w, seed):
    """All arrays of a variant, or None if something is too close to a tie."""
    rng = torch.Generator().manual_seed(seed + 1000)
    tokens = torch.randint(VOCAB, (SEQUENCES, TOKENS), generator=rng)
    coarse = {k: x.bfloat16().double() if x.dim() == 2 and "gate" not in k else x
              for k, x in w.items()}
    arrays = {"tokens": tokens, "logits": []}
    for sequence in tokens:
        logits, trace = forward(v, w, sequence)
        arrays["logits"].append(logits)
        # The bf16 engine must be able to find the same experts.
        for (l, ids, weights, margin), other in zip(trace, forward(v, coarse, sequence)[1]):
            same = torch.equal(ids.sort(-1).values, other[1].sort(-1).values)
            if margin < 1e-4 or not same:
                return None
            arrays.setdefault(f"route_layer{l}_experts", []).append(ids)
            arrays.setdefault(f"route_layer{l}_weights", []).append(weights)
    if v["greedy"]:
        prompts = torch.randint(VOCAB, (1, PROMPT), generator=rng)
        greedy = greedy_tokens(v, w, prompts[0])
        if greedy is None or greedy.unique().numel() < 8:
            return None
        arrays["prompts"], arrays["greedy"] = prompts, greedy[None]
    return {k: torch.stack(x) if isinstance(x, list) else x for k, x in arrays.items()}


def main():
    torch.set_num_threads(1)
    out = sys.argv[1]
    only = sys.argv[2:] or VARIANTS
    for name in only:
        v = {**DEFAULTS, **VARIANTS[name]}
        globals().update({**SIZES, **v["sizes"]})
        for seed in range(2000):
            w = make_weights(v, seed)
            arrays = expected(v, w, seed)
            if arrays is not None:
                break
        else:
            sys.exit(f"{name}: no seed without near-ties")
        directory = os.path.join(out, name)
        shutil.rmtree(directory, ignore_errors=True)
        write_checkpoint(v, w, directory)
        write_arrays(arrays, directory)
        print(name, "seed", seed, flush=True)


if __name__ == "__main__":
    main()
