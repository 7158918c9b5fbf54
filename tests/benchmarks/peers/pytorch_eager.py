#!/usr/bin/env python3
"""A peer for the benchmarks: the same DeepSpeed checkpoint in PyTorch eager.

Runs decode steps (one new token per sequence, KV cache, 64 tokens of context)
and one prefill, and prints one JSON object of milliseconds. It reads the
checkpoints that `tools/checkpoint make_random` writes: GELU, learned positions,
interleaved QKV rows, top-1 experts every second layer, optionally residual.

    pytorch_eager.py --checkpoint DIR [--dtype float32|bfloat16] [--threads 2]
"""
import argparse
import glob
import json
import re
import time

import torch
import torch.nn.functional as F


def flatten(node, prefix=""):
    """Yields (dotted name, tensor) of nested dicts."""
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flatten(value, name + ".")
        elif torch.is_tensor(value):
            yield name, value


class Weights:
    """All tensors of a checkpoint by Megatron's names, in one dtype."""

    def __init__(self, directory, dtype):
        tag = open(f"{directory}/latest", encoding="utf-8").read().strip()
        main = torch.load(f"{directory}/{tag}/mp_rank_00_model_states.pt", map_location="cpu", weights_only=False)
        self.args = main["args"]
        self.by_name = {}
        for name, tensor in flatten(main["module"]):
            self.by_name[name.split("language_model.", 1)[1]] = tensor.to(dtype)
        for file in glob.glob(f"{directory}/{tag}/layer_*_expert_*_model_states.pt"):
            for name, tensor in torch.load(file, map_location="cpu", weights_only=False).items():
                self.by_name[name.split("language_model.", 1)[1]] = tensor.to(dtype)

    def linear(self, x, name):
        return F.linear(x, self.by_name[name + ".weight"], self.by_name.get(name + ".bias"))

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.by_name[name + ".weight"], self.by_name[name + ".bias"])

    def mlp(self, x, name):
        return self.linear(F.gelu(self.linear(x, name + ".dense_h_to_4h"), approximate="tanh"), name + ".dense_4h_to_h")


class Decoder:
    """A pre-LN GPT with top-1 MoE layers, as one writes it in eager PyTorch."""

    def __init__(self, weights):
        self.w = weights
        self.heads = weights.args.num_attention_heads
        self.layers = weights.args.num_layers
        self.head_dim = weights.args.hidden_size // self.heads
        self.experts = {}  # layer -> number of experts
        for name in weights.by_name:
            match = re.match(r"encoder\.layers\.(\d+)\.mlp\.deepspeed_moe\.experts\.deepspeed_experts\.(\d+)\.", name)
            if match:
                layer, expert = int(match[1]), int(match[2])
                self.experts[layer] = max(self.experts.get(layer, 0), expert + 1)

    def attention(self, x, layer, cache):
        """x [batch, tokens, hidden]; cache: list of (k, v) [batch, heads, context, head_dim]."""
        batch, tokens, _ = x.shape
        prefix = f"encoder.layers.{layer}.self_attention"
        qkv = self.w.linear(x, prefix + ".query_key_value").view(batch, tokens, self.heads, 3 * self.head_dim)
        q, k, v = (t.transpose(1, 2) for t in qkv.split(self.head_dim, dim=-1))
        if cache[layer] is not None:
            k = torch.cat((cache[layer][0], k), dim=2)
            v = torch.cat((cache[layer][1], v), dim=2)
        cache[layer] = (k, v)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=tokens > 1)
        return self.w.linear(out.transpose(1, 2).reshape(batch, tokens, -1), prefix + ".dense")

    def moe(self, x, layer):
        prefix = f"encoder.layers.{layer}.mlp"
        rows = x.reshape(-1, x.shape[-1])
        gate = self.w.by_name[prefix + ".deepspeed_moe.gate.wg.weight"].float()
        weight, chosen = torch.softmax(rows.float() @ gate.t(), dim=-1).max(dim=-1)
        out = torch.zeros_like(rows)
        for expert in chosen.unique().tolist():
            mine = (chosen == expert).nonzero()[:, 0]
            y = self.w.mlp(rows[mine], f"{prefix}.deepspeed_moe.experts.deepspeed_experts.{expert}")
            out[mine] = y * weight[mine, None].to(y.dtype)
        if prefix + ".coefficient.weight" in self.w.by_name:
            c = torch.softmax(self.w.linear(rows, prefix + ".coefficient"), dim=-1)
            out = c[:, :1] * out + c[:, 1:] * self.w.mlp(rows, prefix + ".mlp")
        return out.view_as(x)

    @torch.inference_mode()
    def forward(self, ids, start, cache):
        """ids [batch, tokens] from position `start` on; returns the last logits."""
        word = self.w.by_name["embedding.word_embeddings.weight"]
        positions = torch.arange(start, start + ids.shape[1])
        x = word[ids] + self.w.by_name["embedding.position_embeddings.weight"][positions]
        for layer in range(self.layers):
            prefix = f"encoder.layers.{layer}"
            x = x + self.attention(self.w.norm(x, prefix + ".input_layernorm"), layer, cache)
            m = self.w.norm(x, prefix + ".post_attention_layernorm")
            x = x + (self.moe(m, layer) if layer in self.experts else self.w.mlp(m, prefix + ".mlp"))
        x = self.w.norm(x[:, -1], "encoder.final_layernorm")
        return F.linear(x, word)


def time_decode(model, batch, vocab, context, steps):
    """Median milliseconds of a decode step of `batch` sequences."""
    generator = torch.Generator().manual_seed(batch)
    cache = [None] * model.layers
    model.forward(torch.randint(vocab, (batch, context), generator=generator), 0, cache)
    times = []
    for step in range(steps):
        ids = torch.randint(vocab, (batch, 1), generator=generator)
        start = time.perf_counter()
        model.forward(ids, context + step, cache)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1e3


def time_prefill(model, tokens, vocab, repeats):
    ids = torch.randint(vocab, (1, tokens), generator=torch.Generator().manual_seed(0))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.forward(ids, 0, [None] * model.layers)
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    weights = Weights(options.checkpoint, getattr(torch, options.dtype))
    model = Decoder(weights)
    vocab = weights.by_name["embedding.word_embeddings.weight"].shape[0]
    report = {
        "peer": f"PyTorch {torch.__version__} eager {options.dtype}",
        "threads": options.threads,
        "decode_ms": {b: time_decode(model, b, vocab, 64, options.steps) for b in options.batches},
        "prefill_tokens": options.prefill,
        "prefill_ms": time_prefill(model, options.prefill, vocab, 2),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
