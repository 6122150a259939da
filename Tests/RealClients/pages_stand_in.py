#!/usr/bin/env python3
"""Stands in for a program that the documentation names and that pages.py may not run as it is: one that builds, installs
or restarts. It checks that what it is told is there, and ends with 1 if not. The program is the name that it is called by.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ["FERMATA_PAGES_ROOT"])
words = sys.argv[1:]


def need(isRight, reason):
    if not isRight:
        sys.exit(f"{Path(sys.argv[0]).name} {' '.join(words)}: {reason}")


def apt_get():
    need(words[0] in ["update", "install"], "an unknown verb")
    for word in words[1:]:
        if word.startswith("-"):
            need(word == "-y", f"{word} is unknown here")
        elif "/" in word:
            need(Path(word).exists(), f"{word} is missing")
        else:
            need(subprocess.run(["dpkg-query", "-W", word], stdout=subprocess.DEVNULL).returncode == 0, f"no {word}")


def swift():
    need(words[0] == "build", "an unknown verb")
    help_text = subprocess.run(
        [os.environ["FERMATA_PAGES_SWIFT"], "build", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    for word in words[1:]:
        if word.startswith("-"):
            need(re.search(rf"(^|[\s,/]){re.escape(word)}\b", help_text), f"no option {word}")
    if "--product" in words:
        product = words[words.index("--product") + 1]
        need(f'.executable(name: "{product}"' in (ROOT / "Package.swift").read_text(), f"no product {product}")
        # What stands in for the program until it is built is no program that can be installed.
        Path(".build/release/fermata").unlink()
        Path(".build/release/fermata").symlink_to(os.environ["FERMATA_PAGES_PROGRAM"])


def systemctl():
    need(words[0] == "restart" and (ROOT / f"Sources/Packaging/systemd/{words[1]}.service").exists(), "no such unit")


def editor():
    need(len(words) == 1 and Path(words[0]).exists(), "the file is missing")


def podman():
    options = argparse.ArgumentParser()
    verb = words[0]
    if verb == "build":
        for option in ["-f", "--build-arg", "-t"]:
            options.add_argument(option, required=True)
        options.add_argument("context")
        told = options.parse_args(words[1:])
        name, _, value = told.build_arg.partition("=")
        need(f"ARG {name}=" in Path(told.f).read_text() and value, "no such argument")
        need((Path(told.context) / "Package.swift").exists(), "not the folder of the sources")
        need(f'version="{told.t.split(":")[1]}"' in Path(told.f).read_text(), "another version")
    else:
        need(verb == "run", "an unknown verb")
        options.add_argument("--read-only", action="store_true")
        for option in ["--cap-drop", "-p", "-v"]:
            options.add_argument(option)
        options.add_argument("image")
        told = options.parse_args(words[1:])
        image = (ROOT / "Sources/Packaging/container/Containerfile").read_text()
        here, there, _ = told.v.split(":")
        need(Path(here).exists() and there in image, "the file is missing")
        need(f"EXPOSE {told.p.split(':')[1]}" in image, "the port is not the image's")


def pip():
    need(words == ["install", "fermata-client"], "not our package")
    need('name = "fermata-client"' in (ROOT / "Sources/Clients/Python/pyproject.toml").read_text(), "another name")


def script(name):
    need(not words and os.access(ROOT / ".ci" / name, os.X_OK), "not there")
    subprocess.run(["bash", "-n", ROOT / ".ci" / name], check=True)
    if name == "deb":
        Path(".build/deb").mkdir()
        Path(".build/deb/fermata_0.1.0_amd64.deb").touch()


def fermata():
    """The program itself; a bench is made short."""
    short = "--scenario burst --subject graceful --seconds 1 --streams 2 --repeat 1".split()
    os.execvp("fermata", ["fermata", *words, *(short if words[:1] == ["bench"] else [])])


{
    "apt-get": apt_get, "swift": swift, "systemctl": systemctl, "editor": editor, "podman": podman, "pip": pip,
    "test": lambda: script("test"), "deb": lambda: script("deb"), "fermata": fermata,
}[Path(sys.argv[0]).name]()
