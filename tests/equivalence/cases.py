"""Which servers a recording starts: every model of the repository, on 1, 2 and
4 ranks, with every kind of exchange.

Nothing is left to the server to measure or to choose by what the machine is
doing, so that each case means the same in each run.
"""
import dataclasses

# Replaces what the server would measure. The values only have to be plausible.
COSTS = (
    'costs { in_node { latency: "3us" per_message: "1us" bytes_per_second: 5e9 } '
    'across { latency: "50us" per_message: "20us" bytes_per_second: 1e9 } '
    "copy_bytes_per_second: 1e10 read_bytes_per_second: 1e9 flops_per_second: 1e10 }"
)
# The machine may be busy with other work.
TIMEOUTS = 'connect_timeout: "5m" start_timeout: "5m" step_timeout: "5m" watchdog: "2m"'
CHUNKS = "prefill_chunk_tokens: 7 block_size: 4"

SHIPPED = ("prose-mos", "prose-pr-moe")
MEGATRON = (
    "dense_head", "moe_gqa_pre", "moe_paper_era", "moe_rotary_head_quirk", "moe_top2_head", "moe_top4_pre",
    "moe_untied_pre", "prmoe_bf16_zero1_pre", "prmoe_head", "prmoe_tp2_ep2_head",
)
# Without expert_slices_swiglu and file_object, whose made-up weights overflow.
VARIANTS = (
    "expert_slices", "gqa_separate_tp2", "not_zip", "not_zip_transposed", "old_experts_version_1", "q_k_v_tp2",
    "replicas_differ", "residual_a", "residual_a_tp2", "residual_b_flat", "shared_storage", "strays",
    "swiglu_gqa_tp2", "transposed", "version_0",
)
TINY = (
    "dense", "dense_gelu_erf", "dense_gqa", "dense_gqa_q_k_v", "dense_layernorm_1p", "dense_odd_sizes",
    "dense_post_norm", "dense_qkv_all_q_all_k_all_v", "dense_qkv_version_0", "dense_qkv_version_1",
    "dense_rmsnorm_no_bias_untied", "dense_rotary", "dense_rotary_partial", "dense_squared_relu", "dense_swiglu",
    "moe_llama_like", "moe_pyramid", "moe_top1", "moe_top2", "moe_top3_every_layer", "prmoe_a", "prmoe_b1",
    "prmoe_b2", "prmoe_b2_swiglu_top2", "prmoe_odd_sizes",
)
# What the files of a checkpoint cannot tell.
CHECKPOINT_OPTIONS = {
    "moe_rotary_head_quirk": "rope_double_cos_quirk: true",
    "dense_gqa_q_k_v": "qkv_layout: Q_K_V",
    "dense_qkv_all_q_all_k_all_v": "qkv_layout: Q_K_V",
    "prmoe_b1": "residual_moe: B1",
    "prmoe_odd_sizes": "qkv_layout: Q_K_V",
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a model lies on the ranks; exchange "": left open."""

    ranks: int
    tensor: int
    expert: int = 1
    slices: int = 1
    exchange: str = ""

    def name(self):
        degrees = f"{self.ranks}-ranks t{self.tensor} e{self.expert} s{self.slices}"
        return f"{degrees} {self.exchange}" if self.exchange else degrees

    def config(self):
        fields = f"tensor_degree: {self.tensor}"
        if self.expert * self.slices > 1:
            fields += f" expert_degree: {self.expert} slice_degree: {self.slices}"
        if self.exchange:
            fields += f" exchange: {self.exchange.upper()}"
        if self.exchange == "hierarchical":
            fields += f' node_shape: "2x{self.ranks // 2}"'
        return fields


def layouts(ranks, tensor, expert, slices, *exchanges):
    return [Layout(ranks, tensor, expert, slices, exchange) for exchange in exchanges]


# Of a dense model.
DENSE = [Layout(2, 1), Layout(2, 2), Layout(4, 4), Layout(4, 2)]
# Each exchange on each number of ranks that admits it, and both kinds of slices.
EXCHANGES = [
    *layouts(2, 1, 2, 1, "flat", "replicated"),
    *layouts(2, 2, 2, 1, "coordinated"),
    *layouts(2, 2, 1, 2, ""),
    *layouts(4, 1, 4, 1, "flat", "hierarchical", "replicated"),
    *layouts(4, 2, 4, 1, "coordinated"),
    *layouts(4, 2, 2, 2, "flat"),
]
EVERY_LAYOUT = [
    *EXCHANGES,
    *layouts(2, 1, 1, 1, ""),
    *layouts(4, 1, 4, 1, ""),
    *layouts(2, 2, 2, 1, "flat", "replicated"),
    *layouts(4, 1, 2, 1, "flat"),
    *layouts(4, 1, 1, 4, ""),
    *layouts(4, 1, 2, 2, "flat", "replicated"),
    *layouts(4, 2, 4, 1, "flat", "replicated"),
    *layouts(4, 2, 2, 2, "replicated"),
    *layouts(4, 4, 4, 1, "coordinated", "flat"),
    *layouts(4, 4, 2, 2, "coordinated"),
]


@dataclasses.dataclass(frozen=True)
class Case:
    """One start of the server.

    path: of the checkpoint, from the root of the repository. ranks: processes of mpirun; 0: one process without it.
    parallel, engine: fields of these parts of the configuration. preempted: answers are so long that they compete for
    memory, and do not tell how often experts were chosen, which then depends on chance.
    """

    name: str
    path: str
    dtype: str = "F32"
    ranks: int = 0
    parallel: str = ""
    engine: str = "threads: 1"
    kv_cache_bytes: int = 16 << 20
    preempted: bool = False

    def config(self, root, port_file):
        options = CHECKPOINT_OPTIONS.get(self.path.split("/")[-1], "")
        return (
            f'model {{ path: "{root / self.path}" name: "recorded" weight_dtype: {self.dtype} '
            f"checkpoint {{ {options} }} }}\n"
            f"engine {{ {self.engine} kv_cache_bytes: {self.kv_cache_bytes} max_running_sequences: 16 "
            f'stall_timeout: "10m" }}\n'
            f"parallel {{ {self.parallel} {TIMEOUTS} {COSTS} }}\n"
            f'server {{ port: 0 port_file: "{port_file}" }}\n'
        )


def layout_cases(name, some_layouts, **fields):
    """The model on ranks of mpirun; `name` begins the names of the cases."""
    return [Case(f"{name} {layout.name()}", ranks=layout.ranks, parallel=layout.config(), **fields)
            for layout in some_layouts]


def shipped_cases(model):
    """All layouts with the default weights, the main ones with the others; starved of memory for keys and values."""
    path, large = f"configs/models/{model}", 192 << 20
    on_ranks = [layout for layout in EVERY_LAYOUT if layout.tensor < 4]  # 6 heads
    cases = [
        Case(f"{model} BF16 2-threads", path, "BF16", engine="threads: 2", kv_cache_bytes=large),
        Case(f"{model} BF16 chunked", path, "BF16", engine=f"threads: 1 {CHUNKS}", kv_cache_bytes=large),
        Case(f"{model} BF16 preempted", path, "BF16", kv_cache_bytes=5 << 20, preempted=True),
        Case(f"{model} BF16 1-rank", path, "BF16", ranks=1, kv_cache_bytes=large),
        Case(f"{model} BF16 4-ranks planned", path, "BF16", ranks=4, kv_cache_bytes=large),
        *layout_cases(f"{model} BF16", on_ranks, path=path, dtype="BF16", kv_cache_bytes=large),
    ]
    for dtype in ("F16", "F32"):
        cases += [Case(f"{model} {dtype}", path, dtype, kv_cache_bytes=large),
                  *layout_cases(f"{model} {dtype}", EXCHANGES, path=path, dtype=dtype, kv_cache_bytes=large)]
    return cases


def megatron_cases(model):
    path = f"tests/goldens/megatron_deepspeed/{model}"
    on_ranks = DENSE if model.startswith("dense") else EVERY_LAYOUT if model == "prmoe_head" else EXCHANGES
    return [
        *(Case(f"{model} {dtype}", path, dtype) for dtype in ("BF16", "F16", "F32")),
        Case(f"{model} F32 chunked", path, engine=f"threads: 2 {CHUNKS}"),
        *layout_cases(f"{model} F32", on_ranks, path=path),
        *layout_cases(f"{model} BF16", on_ranks[-1:], path=path, dtype="BF16"),
    ]


def pyramid_case():
    """Other degrees, and other copies of experts, in each layer: 2, 4 and 8 experts."""
    degrees = ((1, 1, 4), (3, 2, 2), (5, 4, 1))
    layers = " ".join(f"moe_layers {{ layer: {layer} expert_degree: {expert} slice_degree: {slices} }}"
                      for layer, expert, slices in degrees)
    return Case("prmoe_head F32 4-ranks pyramid", "tests/goldens/megatron_deepspeed/prmoe_head", ranks=4,
                parallel=f"tensor_degree: 2 exchange: REPLICATED {layers}")


def tiny_cases(model):
    path = f"tests/goldens/models/{model}"
    if model == "dense_odd_sizes":  # its heads are odd in number, too
        on_ranks = [Layout(2, 1)]
    elif model == "prmoe_odd_sizes":
        on_ranks = [*layouts(2, 1, 2, 1, "flat"), *layouts(4, 1, 4, 1, "hierarchical")]
    elif model.startswith("dense"):
        on_ranks = [Layout(2, 2)]
    else:
        on_ranks = [*layouts(2, 1, 2, 1, "replicated"), *layouts(4, 1, 4, 1, "hierarchical"),
                    *layouts(4, 2, 4, 1, "coordinated"), *layouts(4, 2, 2, 2, "flat")]
    return [
        Case(f"tiny {model} F32", path),
        Case(f"tiny {model} BF16 chunked", path, "BF16", engine=f"threads: 2 {CHUNKS}"),
        *layout_cases(f"tiny {model} F32", on_ranks, path=path),
    ]


def all_cases():
    """In the order in which they are recorded; their names are unique."""
    cases = []
    for model in SHIPPED:
        cases += shipped_cases(model)
    for model in MEGATRON:
        cases += megatron_cases(model)
    cases.append(pyramid_case())
    for model in TINY:
        cases += tiny_cases(model)
    for model in VARIANTS:
        cases.append(Case(f"variant {model} F32", f"tests/goldens/megatron_deepspeed/variants/{model}"))
    return cases
