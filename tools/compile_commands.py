#!/usr/bin/env python3
"""Writes compile_commands.json for clang-tidy and clangd from Bazel's own actions."""
import json
import pathlib
import subprocess


def bazel(*args):
    return subprocess.run(["bazel", *args], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


root = bazel("info", "execution_root").strip()
workspace = bazel("info", "workspace").strip()
actions = json.loads(bazel("aquery", "--output=jsonproto", 'mnemonic("CppCompile", //...)'))["actions"]
commands = {}
for action in actions:
    args = action["arguments"]
    source = args[args.index("-c") + 1]
    if not source.startswith(("bazel-out/", "external/")):
        commands[source] = {"directory": root, "file": f"{workspace}/{source}", "arguments": [a for a in args if a not in ("-fno-canonical-system-headers",)]}
pathlib.Path(workspace, "compile_commands.json").write_text(json.dumps(list(commands.values()), indent=1))
