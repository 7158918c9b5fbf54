"""Prints continuations of prompts, sampled with a fixed seed."""

import argparse

import tokenizers
import torch

import reference


def continue_text(model, tokenizer, prompt, num_tokens, temperature, top_k,
                  generator):
  """Samples `num_tokens` after `prompt`; temperature 0 takes the argmax."""
  ids = tokenizer.encode(prompt).ids
  start = len(ids)
  for _ in range(num_tokens):
    context = torch.tensor([ids[-model.args.seq_length:]])
    logits = model.logits(context)[0, -1]
    if temperature == 0:
      ids.append(int(logits.argmax()))
      continue
    values, indices = logits.topk(top_k)
    pick = torch.multinomial((values / temperature).softmax(-1), 1,
                             generator=generator)
    ids.append(int(indices[pick]))
  return tokenizer.decode(ids[start:])


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--tokenizer', required=True)
  parser.add_argument('--checkpoint', required=True)
  parser.add_argument('--prompt', action='append', required=True)
  parser.add_argument('--num_tokens', type=int, default=80)
  parser.add_argument('--temperature', type=float, default=0.8)
  parser.add_argument('--top_k', type=int, default=40)
  parser.add_argument('--seed', type=int, default=1)
  args = parser.parse_args()
  tokenizer = tokenizers.Tokenizer.from_file(args.tokenizer)
  model = reference.ReferenceModel(args.checkpoint)
  generator = torch.Generator().manual_seed(args.seed)
  for prompt in args.prompt:
    text = continue_text(model, tokenizer, prompt, args.num_tokens,
                         args.temperature, args.top_k, generator)
    print(f'[{prompt}]{text}\n')


if __name__ == '__main__':
  main()
