#!/usr/bin/env python3
"""Writes sampler_goldens.json: distributions that the sampler must reproduce.

Computed in float64 from the definitions, each filter as a mask over the whole
vocabulary, in the order of Hugging Face's generate(): repetition penalty (and
the presence and frequency penalties of OpenAI's API), bias, allowed and banned
tokens, temperature, top_k, top_p, min_p. Needs numpy.

  make_goldens.py > sampler_goldens.json
"""

import itertools
import json

import numpy as np

VOCAB = 48
# A cut-off this close to a token's value could fall on either side in float32.
MARGIN = 1e-5


def softmax(scores):
    e = np.exp(scores - np.max(scores))
    return e / e.sum()


def penalize(scores, case):
    prompt, answer = case["prompt"], case["answer"]
    repetition = case.get("repetition_penalty", 1.0)
    for token in set(prompt) | set(answer):
        s = scores[token]
        scores[token] = s * repetition if s < 0 else s / repetition
    for token in set(answer):
        scores[token] -= case.get("frequency_penalty", 0.0) * answer.count(token)
        scores[token] -= case.get("presence_penalty", 0.0)


def keep_top_k(scores, k):
    if 0 < k < len(scores):
        ranked = np.sort(scores)[::-1]
        scores[scores < ranked[k - 1]] = -np.inf


def keep_top_p(scores, p):
    if p >= 1.0:
        return
    probabilities = softmax(scores)
    order = np.argsort(-probabilities, kind="stable")
    before = np.cumsum(probabilities[order]) - probabilities[order]
    assert np.min(np.abs(before - p)) > MARGIN, "ambiguous top_p: other seed"
    scores[order[before >= p]] = -np.inf


def keep_min_p(scores, p):
    if p <= 0.0:
        return
    probabilities = softmax(scores)
    ratio = probabilities / probabilities.max()
    assert np.min(np.abs(ratio - p)) > MARGIN or p == 1.0, "ambiguous min_p"
    scores[ratio < p] = -np.inf


def distribution(case):
    scores = np.array(case["logits"], dtype=np.float32).astype(np.float64)
    penalize(scores, case)
    for token, bias in case.get("logit_bias", []):
        scores[token] += bias
    allowed = case.get("allowed", [])
    if allowed:
        mask = np.ones(VOCAB, dtype=bool)
        mask[allowed] = False
        scores[mask] = -np.inf
    scores[case.get("banned", [])] = -np.inf
    scores[case.get("masked", [])] = -np.inf
    temperature = case.get("temperature", 1.0)
    if temperature == 0.0:
        return {int(np.argmax(scores)): 1.0}
    scores /= temperature
    keep_top_k(scores, case.get("top_k", 0))
    keep_top_p(scores, case.get("top_p", 1.0))
    keep_min_p(scores, case.get("min_p", 0.0))
    probabilities = softmax(scores)
    return {int(t): float(probabilities[t]) for t in np.flatnonzero(probabilities)}


def logprobs(case):
    logits = np.array(case["logits"], dtype=np.float32).astype(np.float64)
    top = np.max(logits)
    return (logits - top - np.log(np.exp(logits - top).sum())).tolist()


def main():
    settings = [
        {},
        {"temperature": 0.7},
        {"temperature": 2.5},
        {"temperature": 0.0},
        {"top_k": 1},
        {"top_k": 5},
        {"top_k": 47},
        {"top_k": 1000},
        {"top_p": 0.9},
        {"top_p": 0.3},
        {"top_p": 0.001},
        {"min_p": 0.1},
        {"min_p": 1.0},
        {"repetition_penalty": 1.4},
        {"repetition_penalty": 0.6},
        {"presence_penalty": 1.5},
        {"presence_penalty": -2.0},
        {"frequency_penalty": 0.9},
        {"frequency_penalty": -1.1, "presence_penalty": 0.5},
        {"logit_bias": [[3, 5.0], [11, -100.0], [40, 100.0]]},
        {"allowed": [1, 2, 3, 30]},
        {"banned": [0, 5, 9, 44]},
        {"masked": [2, 3], "allowed": [2, 3, 4, 5]},
    ]
    for temperature, top_k, top_p, min_p in itertools.product(
        [0.6, 1.3], [0, 12], [1.0, 0.8], [0.0, 0.05]
    ):
        settings.append(
            {
                "temperature": temperature,
                "top_k": top_k,
                "top_p": top_p,
                "min_p": min_p,
                "repetition_penalty": 1.2,
                "frequency_penalty": 0.3,
                "presence_penalty": 0.2,
                "logit_bias": [[7, 2.0]],
                "banned": [13],
            }
        )
    rng = np.random.default_rng(2024)
    cases = []
    for index, setting in enumerate(settings):
        scale = [1.0, 3.0, 8.0][index % 3]
        case = {
            "logits": np.round(rng.normal(0.0, scale, VOCAB), 6).tolist(),
            "prompt": rng.integers(0, VOCAB, 9).tolist(),
            "answer": rng.integers(0, VOCAB // 3, 12).tolist(),
            **setting,
        }
        case["expected"] = sorted(distribution(case).items())
        case["logprobs"] = logprobs(case)
        cases.append(case)
    # No two tokens of a case may tie: their order would be ours to choose.
    for case in cases:
        assert len(set(case["logits"])) == VOCAB
    print(json.dumps({"cases": cases}, indent=None).replace('{"logits"', '\n{"logits"'))


if __name__ == "__main__":
    main()
