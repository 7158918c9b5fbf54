"""The edges between folders that a page draws, in a code block such as

    ```edges
    kernels/core:
    comm: kernels/core
    tests: *
    ```

A line is a folder and the folders that its files may include. A folder that is
not drawn belongs to the nearest drawn one above it; `*` stands for every folder."""
import dataclasses
import re

ANY = "*"
BLOCK = re.compile(r"```edges\s*")
LINE = re.compile(r"([\w./]+):((?:\s+(?:[\w./]+|\*))*)\s*")


@dataclasses.dataclass
class Drawing:
    page: str
    edges: dict  # folder -> the set of folders that it may include
    lines: dict  # folder -> its line in the page

    def home(self, folder):
        """The drawn folder that `folder` is or lies in; None for a library's."""
        while folder not in self.edges:
            if "/" not in folder:
                return None
            folder = folder.rpartition("/")[0]
        return folder

    def allows(self, folder, target):
        return target in self.edges[folder] or ANY in self.edges[folder]


def read_drawing(page, text):
    """Returns the drawing in `text`, and the breaches of its form."""
    drawing, breaches = Drawing(page, {}, {}), []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if not inside:
            inside = BLOCK.fullmatch(line) is not None
            continue
        if line.startswith("```"):
            inside = False
            continue
        match = LINE.fullmatch(line)
        if not match:
            breaches.append(f"{page}:{number}: not of the form 'folder: folder folder': {line}")
        elif match[1] in drawing.edges:
            breaches.append(f"{page}:{number}: {match[1]} is drawn twice")
        else:
            drawing.edges[match[1]] = set(match[2].split())
            drawing.lines[match[1]] = number
    if not drawing.edges:
        breaches.append(f"{page}:1: draws no edges: a code block ```edges is needed")
    for folder, targets in drawing.edges.items():
        for target in sorted(targets - set(drawing.edges) - {ANY}):
            breaches.append(f"{page}:{drawing.lines[folder]}: {target} has no line of its own")
    return drawing, breaches
