"""The names that pages use exist in the tree.

Of docs/*.md and each README.md: links, Bazel labels and paths. Of the map of the
house, docs/architecture.md, and of the READMEs beside the product's sources also
types, functions and macros. Of the map also what its drawings name."""
import os
import pathlib
import re

from name_index import NameIndex
from page_text import read_mentions

MAP = "docs/architecture.md"

LABEL = re.compile(r"(?<![\w:/.])//[\w./-]*(?::[\w.-]+)?(?![\w/]|\.\.\.)")
BUILT = re.compile(r"(?<![\w/])bazel-bin/([\w/.-]+)/([\w.-]+)")
PATH = re.compile(r"(?<![\w/.<:$~}@-])[\w.<*{-][\w.<>*{},-]*(?:/[\w.<>*{},-]+)+/?(?![\w(])")
FOLDER = re.compile(r"(?<![\w/.])[\w-]+/(?=[\s;,.)]|$)")
FILE = re.compile(r"(?<![\w/.<*…-])[\w<*][\w<>*-]*\.(?:h|cc|cu|cuh|proto|py|sh|bzl)\b")
# What a file of ours is called, so that a path to it cannot be anything else.
OURS = (".h", ".cc", ".cu", ".cuh", ".proto", ".py", ".sh", ".bzl", ".bazel", ".md")
WORD = re.compile(r"(?<![\w.-])[A-Za-z_]\w*(?![\w-])")
# Words of two humps or with an underscore are code wherever they stand.
CODE_WORD = re.compile(r"[A-Z]+[a-z0-9]+[A-Z]\w*|k[A-Z]\w+|\w*[A-Za-z0-9]_[A-Za-z0-9]\w*")

# (page, name): why it need not be in the tree.
EXCEPTIONS = {
}


def check_page_names(root):
    root = pathlib.Path(root)
    index = NameIndex(root)
    pages = sorted((root / "docs").rglob("*.md"))
    pages += [p for p in sorted(root.rglob("README.md")) if not _is_hidden(p.relative_to(root))]
    used = set()
    for file in dict.fromkeys(pages):
        page = file.relative_to(root).as_posix()
        for mention in read_mentions(file.read_text(encoding="utf-8")):
            for name in dict.fromkeys(_missing(index, page, mention)):
                if (page, name) in EXCEPTIONS:
                    used.add((page, name))
                else:
                    yield f"{page}:{mention.line}: {name} is not in the tree"
    for page, name in EXCEPTIONS:
        if (page, name) not in used and (root / page).exists():
            yield f"{page}:1: {name} needs no exception"


def _is_hidden(path):
    return path.parts[0].startswith((".", "bazel-"))


def _speaks_of_code(page):
    return page == MAP or page.startswith(("kernels/", "comm/", "engine/", "server/"))


def _missing(index, page, mention):
    """Yields the names of `mention` that do not exist."""
    if mention.kind == "link":
        target = mention.text.partition("#")[0]
        if target and ":" not in target and not index.has_path(target, (os.path.dirname(page),)):
            yield mention.text
        return
    text = mention.text
    for label in LABEL.findall(text):
        if label != "//" and not index.has_label(label):
            yield label
    for package, target in BUILT.findall(text):
        if not index.has_label(f"//{package}:{target}"):
            yield f"bazel-bin/{package}/{target}"
    text = BUILT.sub(" ", LABEL.sub(" ", text))
    yield from _missing_paths(index, page, mention, text)
    if mention.kind == "span" and _speaks_of_code(page) or mention.kind == "block" and page == MAP:
        yield from _missing_words(index, mention, text)


def _missing_paths(index, page, mention, text):
    home = os.path.dirname(page)
    branch = mention.folder if page == MAP else ""
    folders = [home, branch, *map(str, pathlib.PurePosixPath(branch).parents)]
    tops = index.tops()
    for path in PATH.findall(text):
        path = path.rstrip(".,")
        first = path.partition("/")[0]
        ours = path.endswith(OURS) or first in tops
        if ours and not index.has_path(path, folders):
            yield path
    if branch:
        for folder in FOLDER.findall(text):
            if not index.has_path(folder, folders):
                yield folder
    if branch or mention.kind == "span":
        for name in FILE.findall(PATH.sub(" ", text)):
            if not index.has_file_name(name):
                yield name


def _missing_words(index, mention, text):
    text = FILE.sub(" ", FOLDER.sub(" ", PATH.sub(" ", text)))
    text = re.sub(r"<\w+>", " ", text)
    words = WORD.findall(text)
    for word in words:
        # A span of one word is code; in a longer text only what looks like it.
        is_code = CODE_WORD.fullmatch(word) or (mention.kind == "span" and text.strip() == word)
        if is_code and not index.has_word(word):
            yield word
