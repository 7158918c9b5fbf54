#!/usr/bin/env python3
"""Writes variants/: one small checkpoint for each form that a DeepSpeed or
Megatron-DeepSpeed release has written and the trained goldens do not show.

Needs PyTorch (2.x). The weights are not random: element (r, c) of the weight
with the canonical name n (engine/checkpoint/checkpoint.h) is
  (crc32(n) % 100) * 100000 + r * 100 + c
(a vector's element r: the same with c = 0), which is exact in fp32, so that a
test can tell where each value went. Cutting and reordering is done here with
reshapes, from the description of the formats.
"""

import argparse
import collections
import io
import pathlib
import shutil
import zlib

import torch

HERE = pathlib.Path(__file__).resolve().parent / "variants"
HIDDEN, HEADS, HEAD_DIM, FFN, POSITIONS = 16, 4, 4, 24, 8
VOCAB, PADDED = 40, 48
TAG = "global_step3"


def canonical(name, rows, cols=None):
    base = (zlib.crc32(name.encode()) % 100) * 100000
    value = base + 100 * torch.arange(rows, dtype=torch.float32)
    if cols is None:
        return value
    return value[:, None] + torch.arange(cols, dtype=torch.float32)


class Variant:
    """One checkpoint; the keyword arguments are what differs from the default:
    tensor degree 1, two layers, the second with experts, no residual."""

    def __init__(self, name, **options):
        self.name = name
        o = dict(tp=1, experts=2, residual=None, kv_heads=HEADS, qkv="interleaved",
                 swiglu=False, bias=True, rmsnorm=False, rotary=False, tied=True,
                 attention="self_attention", encoder="encoder", nested=True,
                 expert_tp=False, expert_copies=False, old_experts=False,
                 residual_sliced=False, strays=False, differ=False, zip=True,
                 shared_storage=False, transposed=False, prefix="",
                 version=3.0, args={}, drop_args=(), layers=2)
        assert not set(options) - set(o), options
        o.update(options)
        self.__dict__.update(o)

    # -- cutting -------------------------------------------------------------
    def rows(self, t, rank):
        return t.chunk(self.tp, 0)[rank]

    def cols(self, t, rank):
        return t.chunk(self.tp, 1)[rank]

    def up(self, t, rank):
        if not self.swiglu:
            return self.rows(t, rank)
        gate, up = t.chunk(2, 0)
        return torch.cat([self.rows(gate, rank), self.rows(up, rank)])

    def qkv_rows(self, t, rank):
        """Canonical [q | k | v] rows to this rank's rows in the file's order."""
        tail = t.shape[1:]
        q, k, v = t.split([HEADS * HEAD_DIM] + 2 * [self.kv_heads * HEAD_DIM])
        q, k, v = (self.rows(x, rank) for x in (q, k, v))
        if self.qkv == "q_k_v":
            return torch.cat([q, k, v])
        kv = self.kv_heads // self.tp
        if self.qkv == "interleaved":
            q = q.reshape(kv, -1, *tail)
            k = k.reshape(kv, HEAD_DIM, *tail)
            v = v.reshape(kv, HEAD_DIM, *tail)
            return torch.cat([q, k, v], 1).reshape(-1, *tail)
        assert self.qkv == "version_1"
        stacked = torch.stack([x.reshape(kv, HEAD_DIM, *tail)
                               for x in (q, k, v)], 2)
        return stacked.reshape(-1, *tail)

    def separate(self, t, rank):
        tail = t.shape[1:]
        q, k, v = t.split([HEADS * HEAD_DIM] + 2 * [self.kv_heads * HEAD_DIM])
        kv = self.kv_heads // self.tp
        k = self.rows(k, rank).reshape(kv, 1, HEAD_DIM, *tail)
        v = self.rows(v, rank).reshape(kv, 1, HEAD_DIM, *tail)
        return self.rows(q, rank), torch.cat([k, v], 1).reshape(-1, *tail)

    # -- the parts of a model ------------------------------------------------
    def linear(self, out, key, name, rows, cols, cut, bias_cut):
        out[key + ".weight"] = cut(canonical(name + ".weight", rows, cols))
        if self.bias:
            out[key + ".bias"] = bias_cut(canonical(name + ".bias", rows))

    def norm(self, out, key, name):
        out[key + ".weight"] = canonical(name + ".weight", HIDDEN)
        if not self.rmsnorm:
            out[key + ".bias"] = canonical(name + ".bias", HIDDEN)

    def mlp(self, out, key, name, rank, sliced):
        up = (lambda t: self.up(t, rank)) if sliced else (lambda t: t)
        down = (lambda t: self.cols(t, rank)) if sliced else (lambda t: t)
        self.linear(out, key + "dense_h_to_4h", name + "up",
                    FFN * (2 if self.swiglu else 1), HIDDEN, up, up)
        self.linear(out, key + "dense_4h_to_h", name + "down", HIDDEN, FFN, down,
                    lambda t: t)

    def moe_key(self):
        return "mlp.moe.deepspeed_moe." if self.residual == "a" else "mlp.deepspeed_moe."

    def encoder_state(self, rank):
        out = collections.OrderedDict()
        for i in range(self.layers):
            key, name = f"layers.{i}.", f"layers.{i}."
            att = key + self.attention + "."
            self.norm(out, key + "input_layernorm", name + "attention_norm")
            rows = (HEADS + 2 * self.kv_heads) * HEAD_DIM
            if self.qkv == "separate":
                for leaf, cols in (("weight", HIDDEN), ("bias", None)):
                    q, kv = self.separate(
                        canonical(name + "attention.qkv." + leaf, rows, cols), rank)
                    out[att + "query." + leaf] = q
                    out[att + "key_value." + leaf] = kv
            else:
                cut = lambda t: self.qkv_rows(t, rank)
                self.linear(out, att + "query_key_value", name + "attention.qkv",
                            rows, HIDDEN, cut, cut)
            self.linear(out, att + "dense", name + "attention.out", HIDDEN,
                        HEADS * HEAD_DIM, lambda t: self.cols(t, rank),
                        lambda t: t)
            self.norm(out, key + "post_attention_layernorm", name + "mlp_norm")
            if i % 2 == 0:
                self.mlp(out, key + "mlp.", name + "mlp.", rank, True)
                continue
            out[key + self.moe_key() + "gate.wg.weight"] = canonical(
                name + "moe.gate.weight", self.experts, HIDDEN)
            if self.residual:
                self.mlp(out, key + "mlp.mlp.", name + "mlp.", rank,
                         self.residual_sliced)
                out[key + "mlp.coefficient.weight"] = canonical(
                    name + "moe.coefficient.weight", 2, HIDDEN)
                if self.residual == "b":
                    out[key + "mlp.coefficient.bias"] = canonical(
                        name + "moe.coefficient.bias", 2)
                if self.differ and rank == 1:
                    out[key + "mlp.mlp.dense_h_to_4h.weight"][3, 5] += 0.5
        self.norm(out, "final_layernorm", "final_norm")
        return out

    def module(self, rank):
        embedding = {"word_embeddings": collections.OrderedDict(
            weight=self.rows(canonical("embedding.weight", PADDED, HIDDEN), rank))}
        if not self.rotary:
            embedding["position_embeddings"] = collections.OrderedDict(
                weight=canonical("position_embedding.weight", POSITIONS, HIDDEN))
        model = {"embedding": embedding, self.encoder: self.encoder_state(rank)}
        if not self.tied:
            model["output_layer"] = collections.OrderedDict(
                weight=self.rows(canonical("output.weight", PADDED, HIDDEN), rank))
        module = {"language_model": model}
        if self.strays:  # under local numbers, with other values
            stray = torch.full((FFN, HIDDEN), -1.0)
            module["encoderlayers.1.mlp.deepspeed_moe.experts.deepspeed_experts."
                   "0.dense_h_to_4h.weight"] = stray
        if self.nested:
            return module
        flat = collections.OrderedDict()

        def walk(prefix, node):
            for key, value in node.items():
                if isinstance(value, dict):
                    walk(prefix + key + ".", value)
                else:
                    flat[prefix + key] = value
        walk(self.prefix, module)
        if self.strays:
            flat["language_model.encoder.layers.1.mlp.deepspeed_moe.experts."
                 "deepspeed_experts.0.dense_h_to_4h.bias"] = torch.zeros(FFN)
        return flat

    def namespace(self):
        args = dict(
            num_layers=self.layers, hidden_size=HIDDEN, ffn_hidden_size=FFN,
            num_attention_heads=HEADS, num_key_value_heads=self.kv_heads,
            kv_channels=HEAD_DIM, max_position_embeddings=POSITIONS,
            seq_length=POSITIONS, padded_vocab_size=PADDED,
            num_experts=[self.experts], expert_interval=2,
            mlp_type="residual" if self.residual else "standard", topk=1,
            layernorm_epsilon=1e-5, swiglu=self.swiglu,
            normalization="rmsnorm" if self.rmsnorm else "layernorm",
            add_bias_linear=self.bias, bias_gelu_fusion=self.bias,
            use_rotary_position_embeddings=self.rotary,
            add_position_embedding=not self.rotary,
            untie_embeddings_and_output_weights=not self.tied,
            tensor_model_parallel_size=self.tp, params_dtype=torch.float32)
        args.update(self.args)
        for field in self.drop_args:
            del args[field]
        return argparse.Namespace(**args)

    # -- files ---------------------------------------------------------------
    def save(self, path, value):
        if self.name == "file_object":  # the archive's root is then "archive"
            buffer = io.BytesIO()
            torch.save(value, buffer)
            path.write_bytes(buffer.getvalue())
        else:
            torch.save(value, path, _use_new_zipfile_serialization=self.zip)

    def own(self, state):
        """Storages as torch.save would find them: each tensor its own, or all
        views of one flat buffer, or column-major."""
        state = {k: v.clone() for k, v in state.items()}
        if self.transposed:
            state = {k: v.t().contiguous().t() if v.dim() == 2 else v
                     for k, v in state.items()}
        if self.shared_storage:
            flat = torch.cat([torch.full((7,), float("nan"))] +
                             [v.reshape(-1) for v in state.values()])
            at = 7
            for k, v in state.items():
                state[k] = flat[at:at + v.numel()].view(v.shape)
                at += v.numel()
        return state

    def expert_state(self, layer, expert, rank, glued=False):
        state = {}
        start = "encoderlayers." if glued else (
            f"{self.prefix}language_model.{self.encoder}.layers.")
        key = f"{start}{layer}.{self.moe_key()}experts.deepspeed_experts.{expert}."
        self.mlp(state, key, f"layers.{layer}.experts.{expert}.", rank,
                 self.expert_tp)
        return state

    def write(self):
        directory = HERE / self.name
        shutil.rmtree(directory, ignore_errors=True)
        (directory / TAG).mkdir(parents=True)
        (directory / "latest").write_text(TAG)
        moe_layers = list(range(1, self.layers, 2))
        for rank in range(self.tp):
            module = self.module(rank)
            if not self.nested:
                module = collections.OrderedDict(self.own(module))
            else:
                model = module["language_model"]
                model[self.encoder] = collections.OrderedDict(
                    self.own(model[self.encoder]))
            state = {
                "module": module,
                "num_experts": self.experts if self.old_experts
                else [self.experts] * len(moe_layers),
                "lr_scheduler": None,
                "csr_tensor_module_names": set(),
                "mp_world_size": self.tp,
                "args": self.namespace(),
                "iteration": 3,
            }
            if self.version is not None:
                state["checkpoint_version"] = self.version
            self.save(directory / TAG / f"mp_rank_{rank:02d}_model_states.pt", state)
        for expert in range(self.experts):
            ranks = range(self.tp)
            if not self.expert_tp and not self.expert_copies:
                ranks = [expert * self.tp // self.experts % self.tp]
            for rank in ranks:
                tail = f"expert_{expert}_mp_rank_{rank:02d}_model_states.pt"
                if self.old_experts:
                    state = {}
                    for layer in moe_layers:
                        state.update(self.expert_state(layer, expert, rank, True))
                    self.save(directory / TAG / tail, self.own(state))
                    continue
                for ordinal, layer in enumerate(moe_layers):
                    state = self.expert_state(layer, expert, rank)
                    self.save(directory / TAG / f"layer_{ordinal}_{tail}",
                              self.own(state))


VARIANTS = [
    # 2021-12 to 2022-02: residual variant A, few arguments.
    Variant("residual_a", residual="a", attention="attention",
            encoder="transformer", prefix="", residual_sliced=True,
            drop_args=("num_key_value_heads", "normalization", "swiglu",
                       "add_bias_linear", "use_rotary_position_embeddings",
                       "add_position_embedding", "mlp_type",
                       "untie_embeddings_and_output_weights",
                       "layernorm_epsilon")),
    Variant("residual_a_tp2", residual="a", attention="attention", tp=2,
            residual_sliced=True, expert_copies=True),
    # A plain module under DeepSpeed: flat keys, wrapped, with stray experts.
    Variant("residual_b_flat", residual="b", nested=False, strays=True,
            prefix="module."),
    Variant("strays", strays=True),
    Variant("swiglu_gqa_tp2", tp=2, swiglu=True, kv_heads=2, bias=False,
            rmsnorm=True, rotary=True, tied=False, experts=4,
            args=dict(rotary_percent=0.5, rope_theta=500000)),
    Variant("expert_slices", tp=2, expert_tp=True, residual="b",
            residual_sliced=True, layers=4),
    Variant("expert_slices_swiglu", tp=2, expert_tp=True, swiglu=True),
    Variant("replicas_differ", tp=2, residual="b", differ=True, experts=4),
    # Rows as of 2024-12: all q, all k, all v within a shard.
    Variant("q_k_v_tp2", tp=2, qkv="q_k_v", args=dict(ds_sequence_parallel_fpdt=False)),
    Variant("gqa_separate_tp2", tp=2, qkv="separate", kv_heads=2),
    Variant("old_experts_version_1", qkv="version_1", version=1.0,
            old_experts=True, layers=4, attention="attention"),
    Variant("version_0", qkv="q_k_v", version=None),
    Variant("not_zip", zip=False, shared_storage=True),
    Variant("not_zip_transposed", zip=False, transposed=True),
    Variant("shared_storage", shared_storage=True),
    Variant("transposed", transposed=True),
    Variant("file_object", swiglu=True),
]


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    for variant in VARIANTS:
        variant.write()


if __name__ == "__main__":
    main()
