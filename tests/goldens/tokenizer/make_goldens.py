"""Makes the tokenizer goldens with Hugging Face's `tokenizers` library.

  python make_goldens.py --corpus DIR_OF_TEXTS --gpt2_vocab encoder.json \
      --gpt2_merges merges.txt

Writes beside itself: gpt2/ (the vocabulary as given), small.json (a tokenizer
trained on one book of the corpus), variants of it that use other components of
the file format, and for each <name> goldens: <name>_cases.json. Made with
tokenizers 0.23.3; ids and offsets are that library's, offsets in bytes.
"""

import argparse
import copy
import json
import pathlib
import random
import shutil
import unicodedata

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
END_OF_TEXT = '<|endoftext|>'
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2_PATTERN = LLAMA3_PATTERN.replace('{1,3}', '')

# Code points that no two Unicode versions disagree on.
RANGES = [
    (0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0x00, 0x1F), (0x80, 0x17F),
    (0x300, 0x36F), (0x391, 0x3A1), (0x410, 0x44F), (0x5D0, 0x5EA),
    (0x621, 0x64A), (0x660, 0x669), (0x905, 0x939), (0xE01, 0xE3A),
    (0x1100, 0x1112), (0x1E00, 0x1EF9), (0x2000, 0x206F), (0x2150, 0x2188),
    (0x2460, 0x24FF), (0x3000, 0x303F), (0x3041, 0x3096), (0x4E00, 0x4FFF),
    (0xAC00, 0xAFFF), (0xFE00, 0xFE0F), (0xFF01, 0xFF5E), (0x1D400, 0x1D454),
    (0x1F300, 0x1F64F), (0x1F1E6, 0x1F1FF), (0x20000, 0x200FF),
]

TEXTS = [
    '', ' ', '  ', '   ', '\n', '\n\n', '\t', ' \n', '\n ', '\r\n', '\r\n\r\n',
    'a', ' a', '  a', 'a ', 'a  ', 'a  b', 'a   b', '\ta', 'a\t\tb', ' \t \n x',
    'Hello, world!', 'The quick brown fox jumps over the lazy dog.',
    "I'm you're he's we'll they'd I've can't", "I'M YOU'RE HE'S WE'LL THEY'D",
    "'s't're've'm'll'd", "''s 'x '' '", "rock'n'roll o'clock ma'am",
    "it\u2019s it\u02bcs don\u2019t", "'\u017f '\u017fx I'\u017f",
    '0', '12', '123', '1234', '12345678901234567890', '3.14159', '1,000,000',
    '-42', '1e-9', '50%', '$1.00', '\u00bd\u00b2\u2155', '\u2167 \u2160\u2161',
    '\u0661\u0662\u0663', 'x2y3', 'abc123def456', '2nd 3rd 4th', '007',
    '!', '!!!', '?!', '...', '--', '---', '\u2014', '(a)', '[b]', '{c}', '"q"',
    '#include <stdio.h>\n\nint main() {\n    return 0;\n}\n',
    'def f(x):\n\treturn x**2  # square\n', '<a href="x">y</a>', 'a=b;c==d',
    'https://example.com/path?query=1&other=2#frag', 'me@example.com',
    'C:\\Windows\\System32', 'snake_case camelCase PascalCase kebab-case',
    'caf\u00e9', 'cafe\u0301', '\u00e9', 'e\u0301', '\u1e9b\u0323', '\u212b',
    '\ufb01ne', '\u2460', '\uff21\uff22', '\u0344', '\u1100\u1161\u11a8',
    '\uac01', 'na\u00efve r\u00e9sum\u00e9 \u00dcber stra\u00dfe',
    'Gr\u00fc\u00dfe aus M\u00fcnchen', 'ma\u00f1ana se\u00f1or',
    '\u0441\u044a\u0435\u0448\u044c \u0435\u0449\u0451',
    '\u03b1\u03b2\u03b3 \u03a9', '\u05e9\u05dc\u05d5\u05dd',
    '\u0645\u0631\u062d\u0628\u0627 \u0628\u0643', '\u0928\u092e\u0938\u094d',
    '\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35', '\u4f60\u597d\uff0c\u4e16\u754c',
    '\u3053\u3093\u306b\u3061\u306f\u4e16\u754c', '\uc548\ub155\ud558\uc138',
    '\u4e00\u4e8c\u4e09123\u56db', '\U00020000\U00020001',
    '\U0001f600', '\U0001f600\U0001f601\U0001f602', ' \U0001f44d ',
    '\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466',
    '\U0001f44d\U0001f3fd', '\U0001f1e9\U0001f1ea', '\u2764\ufe0f', 'a\u200bb',
    'a\u00a0b', '\u00a0', ' \u00a0 ', '\u2003x', '\u3000\u3000x', '\u2028',
    '\u2029y', 'a\u0085b', '\u180ea', 'x\u180e\u180ey', '\ufeffbom',
    'a\u00adb', 'zero\u0000byte', '\u0000', '\u0001\u0002\u001f', '\u007f',
    '\ue000\uf8ff', '\ufffd', '\ufffe', '\U0010ffff', '\U000e0001',
    'e\u0301\u0302\u0303\u0304', '\u0301', ' \u0301', '\u0301\u0301 a\u0323\u0301',
    'Z\u0351\u036b\u0343A\u0321L\u034fG\u0352O',
    '_', '__init__', 'a_b', '\u203f', 'x\u0308_y', '\u24b6\u24b7', '\u00aa\u00ba',
    'a' * 30, 'ab' * 40, ' ' * 50, ' ' * 50 + 'x', '\n' * 40, '=' * 80, '-=' * 30,
    '0' * 50, 'aAbB' * 20, '\u00e9' * 30, '\U0001f600' * 20, ' a' * 40,
    '\t' * 17 + 'x', ' \n' * 20, '\n ' * 20 + 'end', 'e\u0301' * 20,
    'supercalifragilisticexpialidocious antidisestablishmentarianism',
    END_OF_TEXT, f'a{END_OF_TEXT}b', f'a {END_OF_TEXT} b',
    f'{END_OF_TEXT}{END_OF_TEXT}', '<|endoftext|', '<|endoftext', '|endoftext|>',
    f'<{END_OF_TEXT}>', '<|ENDOFTEXT|>', f'x\n{END_OF_TEXT}\n', '<|end<|endoftext|>',
    'Alice was beginning to get very tired of sitting by her sister on the '
    'bank, and of having nothing to do: once or twice she had peeped into the '
    'book her sister was reading, but it had no pictures or conversations in '
    "it, 'and what is the use of a book,' thought Alice 'without pictures or "
    "conversation?'\n\n",
    'Call me Ishmael.  Some years ago--never mind how long precisely--having '
    'little or no money in my purse,\r\nand nothing particular to interest me '
    'on shore, I thought I would sail about a little.\r\n',
    '  indented\n    more\n\n\n  back', 'trailing   \n', ' \u4f60 \u597d ',
    'mixed \u0440\u0443\u0441 and \u4e2d\u6587 and \u05e2\u05d1 123\u0661',
    'tabs\tand  spaces \t mixed\n', 'a\u2009b', 'x\x0by\x0cz', '\x1c\x1d\x1ea',
]

ADDED_TEXTS = [
    '<l>', 'a<l>b', 'a <l> b', 'a  \n <l>b', '<l><l>', ' <l> <l> ',
    '<r>', 'a<r>b', 'a <r> b', 'a<r> \n\u00a0 b', '<r> <l>', '<r>  <r>',
    '<both>', 'a <both> b', ' <both> <both> ', 'a<both>', '\u2003<both>\u2003x',
    'word', 'a word here', 'awordhere', 'word-word', 'words', '\u00e9word',
    'word\u0301', 'word_', '_word', 'word1', 'word word', '(word)', 'WORD',
    'caf\u00e9', 'cafe\u0301', 'un cafe\u0301 noir', '\u212bngstr\u00f6m',
    'ab', 'abc', 'abcd', 'xabcdabcab', 'aabc', 'abab', '  ', '    ', 'a    b',
    '<l>  <r>', 'abword', 'word ab', END_OF_TEXT + 'ab', ' \t<l>\t <r>\t ',
    '[UNUSED]', '[UNUSED][UNUSED]', 'x [UNUSED] y',
]

ADDED = [
    dict(content='<l>', lstrip=True, special=True, normalized=False),
    dict(content='<r>', rstrip=True, special=True, normalized=False),
    dict(content='<both>', lstrip=True, rstrip=True, special=False,
         normalized=False),
    dict(content='word', single_word=True, special=False, normalized=False),
    dict(content='cafe\u0301', special=False, normalized=True),
    dict(content='ab', special=False, normalized=False),
    dict(content='abcd', special=False, normalized=False),
    dict(content='[UNUSED]', special=False, normalized=True),
]


def random_texts(count, seed):
  rng = random.Random(seed)
  texts = []
  for _ in range(count):
    ranges = rng.sample(RANGES, rng.randint(1, 4))
    units = [chr(rng.randint(*rng.choice(ranges)))
             for _ in range(rng.randint(1, 40))]
    texts.append(''.join(c for c in units if unicodedata.category(c) != 'Cn'))
  return texts


def train_small(corpus, vocab_size):
  text = (corpus / 'carroll-alice.txt').read_text(encoding='utf-8')
  tokenizer = tokenizers.Tokenizer(models.BPE())
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  tokenizer.train_from_iterator([text], trainers.BpeTrainer(
      vocab_size=vocab_size, special_tokens=[END_OF_TEXT],
      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False))
  return json.loads(tokenizer.to_str())


def split(regex, behavior='Isolated', invert=False):
  return {'type': 'Split', 'pattern': {'Regex': regex}, 'behavior': behavior,
          'invert': invert}


def literal(text, behavior):
  return {'type': 'Split', 'pattern': {'String': text}, 'behavior': behavior,
          'invert': False}


def byte_level(prefix=False, regex=False):
  return {'type': 'ByteLevel', 'add_prefix_space': prefix,
          'trim_offsets': False, 'use_regex': regex}


def sequence(*steps):
  return {'type': 'Sequence', 'pretokenizers': list(steps)}


def make_variants(small):
  """The tokenizer.json contents of every variant of `small`, by name."""
  variants = {'small': copy.deepcopy(small)}

  llama3 = variants['llama3_like'] = copy.deepcopy(small)
  llama3['pre_tokenizer'] = sequence(split(LLAMA3_PATTERN), byte_level())
  model = llama3['model']
  model['merges'] = [' '.join(pair) for pair in model['merges']]
  model['ignore_merges'] = True
  # A word that no merge makes: ignore_merges alone finds it.
  model['vocab']['\u0120wonderland'] = len(model['vocab'])
  llama3['post_processor'] = {'type': 'Sequence', 'processors': [
      byte_level(), {
          'type': 'TemplateProcessing',
          'single': [{'SpecialToken': {'id': END_OF_TEXT, 'type_id': 0}},
                     {'Sequence': {'id': 'A', 'type_id': 0}},
                     {'SpecialToken': {'id': '!', 'type_id': 0}}],
          'pair': [{'Sequence': {'id': 'A', 'type_id': 0}},
                   {'Sequence': {'id': 'B', 'type_id': 1}}],
          'special_tokens': {
              END_OF_TEXT: {'id': END_OF_TEXT, 'ids': [0],
                            'tokens': [END_OF_TEXT]},
              '!': {'id': '!', 'ids': [1], 'tokens': ['!']}}}]}

  qwen2 = variants['qwen2_like'] = copy.deepcopy(small)
  qwen2['normalizer'] = {'type': 'NFC'}
  qwen2['pre_tokenizer'] = sequence(split(QWEN2_PATTERN), byte_level())

  deepseek = variants['deepseek_like'] = copy.deepcopy(small)
  deepseek['pre_tokenizer'] = sequence(
      split(r'[\r\n]'), split(r'\s?\p{L}+'), split(r'\s?\p{P}+'),
      split('[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+'),
      {'type': 'Digits', 'individual_digits': True}, byte_level())

  behaviors = variants['behaviors'] = copy.deepcopy(small)
  behaviors['normalizer'] = {'type': 'Sequence',
                             'normalizers': [{'type': 'NFKD'}]}
  behaviors['pre_tokenizer'] = sequence(
      literal(' ', 'MergedWithNext'), literal('-', 'MergedWithPrevious'),
      {'type': 'Punctuation', 'behavior': 'Contiguous'},
      {'type': 'Digits', 'individual_digits': False},
      split(r'[aeiou]+', 'Contiguous', invert=True),
      split(r'\w\w', 'MergedWithNext'), split('~', 'Removed'),
      byte_level(prefix=True))

  added = variants['added_tokens'] = copy.deepcopy(small)
  added['normalizer'] = {'type': 'NFC'}
  added['pre_tokenizer'] = byte_level(prefix=True, regex=True)
  vocab = small['model']['vocab']
  next_id = len(vocab)
  for token in ADDED:
    token_id = vocab.get(token['content'], next_id)
    next_id += token_id == next_id
    added['added_tokens'].append({
        'id': token_id, 'single_word': False, 'lstrip': False,
        'rstrip': False, **token})
  return variants


def byte_offsets(text, offsets):
  """Flat begins and ends in bytes of `offsets` in characters."""
  at = [0]
  for c in text:
    at.append(at[-1] + len(c.encode()))
  return [at[i] for pair in offsets for i in pair]


def make_cases(tokenizer, texts, form):
  """Goldens of `texts`; offsets only where normalization changes nothing."""
  cases = []
  for text in texts:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    case = {'text': text, 'ids': encoding.ids}
    with_special = tokenizer.encode(text).ids
    if with_special != encoding.ids:
      case['ids_with_special'] = with_special
    if form is None or unicodedata.normalize(form, text) == text:
      case['offsets'] = byte_offsets(text, encoding.offsets)
    cases.append(case)
  return cases


def make_decodings(tokenizer, count, seed):
  """Random ids, so mostly ill-formed UTF-8, and their text.

  Without added tokens outside ASCII: the library reads their content as if
  each character stood for a byte.
  """
  rng = random.Random(seed)
  single_bytes = list(range(1, 257))
  added = {i: t.content for i, t in tokenizer.get_added_tokens_decoder().items()}
  every_id = [i for i in range(tokenizer.get_vocab_size())
              if added.get(i, '').isascii()]
  result = []
  for i in range(count):
    pool = single_bytes if i % 2 else every_id
    ids = [rng.choice(pool) for _ in range(rng.randint(0, 24))]
    if i % 5 == 0:
      ids.insert(rng.randint(0, len(ids)), tokenizer.token_to_id(END_OF_TEXT))
    result.append({'ids': ids,
                   'text': tokenizer.decode(ids, skip_special_tokens=False),
                   'text_without_special': tokenizer.decode(ids)})
  return result


def write_json(path, value):
  # One case a line, so that changes can be read.
  if isinstance(value, dict) and 'cases' in value:
    parts = []
    for key, cases in value.items():
      lines = ',\n'.join(json.dumps(case) for case in cases)
      parts.append(f'{json.dumps(key)}: [\n{lines}\n]')
    path.write_text('{' + ',\n'.join(parts) + '}\n', encoding='utf-8')
  else:
    path.write_text(json.dumps(value) + '\n', encoding='utf-8')


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--corpus', type=pathlib.Path, required=True)
  parser.add_argument('--gpt2_vocab', type=pathlib.Path, required=True)
  parser.add_argument('--gpt2_merges', type=pathlib.Path, required=True)
  args = parser.parse_args()

  texts = TEXTS + random_texts(60, seed=1)
  (HERE / 'gpt2').mkdir(exist_ok=True)
  shutil.copyfile(args.gpt2_vocab, HERE / 'gpt2' / 'vocab.json')
  shutil.copyfile(args.gpt2_merges, HERE / 'gpt2' / 'merges.txt')
  gpt2 = tokenizers.Tokenizer(models.BPE.from_file(
      str(args.gpt2_vocab), str(args.gpt2_merges)))
  gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  gpt2.decoder = decoders.ByteLevel()
  gpt2.add_special_tokens([END_OF_TEXT])
  gpt2_texts = texts + ['a' * 4000, 'ab ' * 1000, '\u4f60' * 700, ' ' * 3000]
  write_json(HERE / 'gpt2_cases.json',
             {'cases': make_cases(gpt2, gpt2_texts, None),
              'decodings': make_decodings(gpt2, 80, seed=2)})

  forms = {'NFC': 'NFC', 'Sequence': 'NFKD'}
  for name, content in make_variants(train_small(args.corpus, 600)).items():
    write_json(HERE / f'{name}.json', content)
    tokenizer = tokenizers.Tokenizer.from_file(str(HERE / f'{name}.json'))
    normalizer = content['normalizer']
    own_texts = texts + (ADDED_TEXTS if name == 'added_tokens' else [])
    if name == 'llama3_like':
      own_texts = own_texts + [' wonderland', 'wonderland wonderlands']
    write_json(HERE / f'{name}_cases.json',
               {'cases': make_cases(tokenizer, own_texts,
                                    normalizer and forms[normalizer['type']]),
                'decodings': make_decodings(tokenizer, 40, seed=3)})


if __name__ == '__main__':
  main()
