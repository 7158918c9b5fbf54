#!/usr/bin/env python3
"""Writes compile_commands.json for clang-tidy and clangd from Bazel's own actions.

MOE_BAZEL_STARTUP: options for bazel itself, as of tools/test.sh."""
import json
import os
import pathlib
import shlex
import subprocess

# Bazel's own, which clang does not know or warns of.
DROPPED = ("-fno-canonical-system-headers", "-D__DATE__", "-D__TIME__", "-D__TIMESTAMP__")


def bazel(*args):
    startup = shlex.split(os.environ.get("MOE_BAZEL_STARTUP", ""))
    command = ["bazel", *startup, *args]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def main():
    root = bazel("info", "execution_root").strip()
    workspace = bazel("info", "workspace").strip()
    actions = json.loads(bazel("aquery", "--output=jsonproto", 'mnemonic("CppCompile", //...)'))["actions"]
    commands = {}
    for action in actions:
        arguments = action["arguments"]
        source = arguments[arguments.index("-c") + 1]
        if not source.startswith(("bazel-out/", "external/")):
            commands[source] = {
                "directory": root,
                "file": f"{workspace}/{source}",
                "arguments": [a for a in arguments if not a.startswith(DROPPED)],
            }
    output = pathlib.Path(workspace, "compile_commands.json")
    output.write_text(json.dumps(list(commands.values()), indent=1))


if __name__ == "__main__":
    main()
