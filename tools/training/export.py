"""Turns a training checkpoint into the one that ships: fp16, weights only.

The weights go into a fresh half-precision model and DeepSpeed's own
save_checkpoint writes it, so the layout is the one that it gives to any
half-precision model; its optimizer files are then removed.
"""

import argparse
import pathlib
import shutil

import train  # First: it sets the environment that DeepSpeed reads.

import deepspeed

import model as models
import reference


def half_model(checkpoint_dir):
  """A Gpt in fp16 with the weights of `checkpoint_dir`, and its config."""
  args, weights = reference.read_weights(checkpoint_dir)
  config = models.ModelConfig(args.num_layers, tuple(args.num_experts))
  model = models.Gpt(config)
  model.load_state_dict(weights)
  return model.half(), config


def save(model, config, iteration, tokens, output):
  """Writes `latest` and the step's directory below `output`."""
  engine = deepspeed.initialize(
      model=model, dist_init_required=False,
      config={'train_batch_size': 1, 'steps_per_print': 10**9})[0]
  engine.save_checkpoint(
      str(output), tag=f'global_step{iteration}',
      client_state=models.client_state(config, iteration, tokens))


def remove_optimizer_files(output):
  for path in output.glob('global_step*/*optim_states.pt'):
    path.unlink()
  for name in ('zero_to_fp32.py',):
    (output / name).unlink(missing_ok=True)


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--checkpoint', required=True)
  parser.add_argument('--tokenizer', required=True)
  parser.add_argument('--output', type=pathlib.Path, required=True)
  args = parser.parse_args()
  deepspeed.init_distributed('gloo')
  model, config = half_model(args.checkpoint)
  state = reference.read_state(args.checkpoint)
  args.output.mkdir(parents=True, exist_ok=True)
  save(model, config, state['iteration'], state['tokens'], args.output)
  remove_optimizer_files(args.output)
  shutil.copy(args.tokenizer, args.output / 'tokenizer.json')


if __name__ == '__main__':
  main()
