"""Trains the byte-level BPE tokenizer on the training parts of the corpus."""

import argparse
import pathlib

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

import corpus


def train(texts, vocab_size):
  """Returns a GPT-2 style tokenizer of exactly `vocab_size` entries."""
  tokenizer = tokenizers.Tokenizer(models.BPE())
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
      add_prefix_space=False, use_regex=True)
  tokenizer.decoder = decoders.ByteLevel()
  tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
  tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
      vocab_size=vocab_size,
      special_tokens=[corpus.END_OF_TEXT],
      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False))
  return tokenizer


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--corpus', required=True)
  parser.add_argument('--vocab_size', type=int, default=4096)
  parser.add_argument('--output', type=pathlib.Path, required=True)
  args = parser.parse_args()
  books = corpus.read_books(args.corpus)
  tokenizer = train([book.train for book in books], args.vocab_size)
  args.output.parent.mkdir(parents=True, exist_ok=True)
  tokenizer.save(str(args.output))
  num_bytes = sum(len(book.train.encode()) for book in books)
  num_tokens = sum(len(tokenizer.encode(book.train).ids) for book in books)
  print(f'{tokenizer.get_vocab_size()} entries, {num_tokens} tokens, '
        f'{num_bytes / num_tokens:.3f} bytes a token')


if __name__ == '__main__':
  main()
