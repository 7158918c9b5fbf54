"""What a Markdown page names: links, code spans, code blocks, and plain words."""
import dataclasses
import re

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`]+)`")
# A line of a drawn tree: "  ops/      one op = <op>.h".
BRANCH = re.compile(r"(\s*)((?:[\w.-]+/)+)(?=\s|$)")


@dataclasses.dataclass(frozen=True)
class Mention:
    line: int
    kind: str  # "link", "span", "block" or "plain"
    text: str
    folder: str = ""  # of the drawn tree in whose line it stands: "kernels/ops"


def read_mentions(text):
    fenced, branches = False, []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fenced, branches = not fenced, []
        elif fenced:
            folder = _grow(branches, line)
            yield Mention(number, "block", line, folder)
        else:
            for link in LINK.findall(line):
                yield Mention(number, "link", link)
            for span in SPAN.findall(line):
                yield Mention(number, "span", span)
            yield Mention(number, "plain", LINK.sub(" ", SPAN.sub(" ", line)))


def _grow(branches, line):
    """Keeps the (indent, folder) of the branches that `line` of a tree stands on, and
    returns the folder of the last."""
    match = BRANCH.match(line)
    indent = len(line) - len(line.lstrip())
    if match:
        while branches and branches[-1][0] >= indent:
            branches.pop()
        above = branches[-1][1] + "/" if branches else ""
        branches.append((indent, above + match[2].rstrip("/")))
    elif line and not line[0].isspace():
        branches.clear()
    return branches[-1][1] if branches else ""
