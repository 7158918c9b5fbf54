"""What every server of a recording is asked: requests of all sorts, which fit
any model, and how their answers are written down to the bit.
"""
import struct

TEXT = "It was a bright cold day in April, and the sea was calm. "
LONG_PROMPT = 200  # tokens, where the model has room


def prompt(seed, size, vocab_size):
    """Token ids that look random and are the same everywhere."""
    ids, state = [], seed * 7919 + 1
    for _ in range(size):
        state = (state * 1664525 + 1013904223) % 2**32
        ids.append((state >> 8) % vocab_size)
    return ids


def sampled_requests():
    """Name and fields of sampled requests, each with its own way to choose."""
    yield "temperature", {"sampling": {"temperature": 0.7}}
    yield "top_p", {"sampling": {"top_p": 0.8}}
    yield "top_k", {"sampling": {"top_k": 5, "temperature": 1.5}}
    yield "min_p", {"sampling": {"min_p": 0.05}}
    yield "answers", {"sampling": {"n": 3}}
    yield "penalties", {"penalties": {"presence": 0.5, "frequency": 0.25, "repetition": 1.2}}
    yield "token lists", {"penalties": {"logit_bias": {3: 2.5, 5: -1.0}, "banned_token_ids": [1, 2]}}


def requests(model, preempted):
    """Pairs of a name and the fields of a GenerateRequest.

    model: as GetModel describes it. preempted: as in cases.Case.
    """
    positions = model.max_positions
    long = min(LONG_PROMPT, positions * 3 // 4)
    short = min(5, positions // 2)
    result = [
        ("greedy", {"token_ids": {"ids": prompt(1, short, model.vocab_size)}, "sampling": {"temperature": 0}}),
        ("greedy long", {"token_ids": {"ids": prompt(2, long, model.vocab_size)}, "sampling": {"temperature": 0}}),
    ]
    for i, (name, fields) in enumerate(sampled_requests()):
        size = 1 + i * 11 % long
        fields = {"token_ids": {"ids": prompt(3 + i, size, model.vocab_size)}, **fields}
        fields["sampling"] = {"seed": 100 + i, **fields.get("sampling", {})}
        result.append((name, fields))
    if model.has_tokenizer:
        text = {"text": TEXT * 4, "sampling": {"seed": 99, "temperature": 0.9}, "stopping": {"stop": ["the s", "\n\n"]}}
        result.append(("text", text))
    for i, (_, fields) in enumerate(result):
        room = positions - len(fields["token_ids"]["ids"]) if "token_ids" in fields else 40
        new_tokens = (100 if preempted else 8) + 5 * i
        fields["stopping"] = {"max_new_tokens": min(new_tokens, room), "ignore_eos": i % 2 == 0,
                              **fields.get("stopping", {})}
        fields["output"] = {"token_ids": True, "text": model.has_tokenizer, "logprobs": 2,
                            "expert_usage": not preempted}
        if i % 3 == 1:
            fields["output"]["prompt_logprobs"] = 1
    return result


def float_bits(value):
    """The bits of a float32, in hexadecimal."""
    return struct.pack(">f", value).hex()


def token_text(token):
    """Id, bits of the logprob and rank, then the most likely tokens: '17 bf0c49ba 1, 17 bf0c49ba, 4 c0a1b2c3'."""
    words = [str(token.id)]
    if token.HasField("logprob"):
        words += [float_bits(token.logprob), str(token.rank)]
    return ", ".join([" ".join(words), *(f"{t.token_id} {float_bits(t.logprob)}" for t in token.top)])


def finish_text(finish):
    matched = finish.WhichOneof("matched")
    reason = finish.Reason.Name(finish.reason)
    end = f" {matched} {getattr(finish, matched)!r}" if matched else ""
    return f"{reason}{end}, {finish.usage.completion_tokens} tokens"


def answer_record(response):
    """A GenerateResponse as plain data, without what differs from run to run."""
    record = {"prompt tokens": response.prompt.num_tokens}
    if response.prompt.tokens:
        record["prompt"] = [token_text(token) for token in response.prompt.tokens]
    for answer in response.answers:
        record[f"answer {answer.index}"] = {
            "tokens": [token_text(token) for token in answer.tokens],
            "text": answer.text,
            "finish": finish_text(answer.finish),
        }
    for layer in response.expert_usage.layers:
        record[f"layer {layer.layer} tokens by expert"] = " ".join(map(str, layer.tokens_by_expert))
    return record
