"""What users install: types, metadata, files, and the examples of the README and of docs."""

import ast
import glob
import os
import re
import subprocess
import sys
import tarfile
import textwrap
import zipfile

import pytest

from conftest import LIBRARY, ROOT

DOCS = os.path.join(ROOT, "docs")
PAGES = [os.path.join(ROOT, "README.md"), *sorted(glob.glob(os.path.join(DOCS, "*.md")))]
PAGES += sorted(glob.glob(os.path.join(ROOT, "Sources", "Clients", "*", "README.md")))
EXAMPLES = [
    example
    for page in PAGES
    for example in re.findall(r"```python\n(.*?)```", open(page, encoding="utf-8").read(), re.DOTALL)
    # A whole program of a user's own, which Tests/RedisLogTests/WorkerTests.swift runs.
    if not example.startswith('"""An agent run')
]


def checked(*command, **more):
    done = subprocess.run(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


CACHE = os.path.join(ROOT, ".build", "mypy-cache")


def test_the_types_are_strict():
    checked("mypy", "--cache-dir", CACHE, cwd=LIBRARY)


def test_the_style_is_kept():
    checked("ruff", "check", "--no-cache", "--config", os.path.join(LIBRARY, "pyproject.toml"), ".", cwd=LIBRARY)


def test_the_examples_are_typed(tmp_path):
    names = "url: str = ''\nrun_url: str = ''\nprompt: str = ''\nlast: str = ''\nstream: fermata_client.SyncStream\n"
    # Of openai's library, which these tests do not install.
    names += "OpenAI: typing.Any\nGATEWAY = ''\nMODEL = ''\nMESSAGES: list[dict[str, str]] = []\n"
    head = "import typing\nimport fermata_client\nfrom fermata_client import ServerEvent, StreamReset\nimport httpx\n"
    tail = "def show(text: object) -> None: ...\ndef clear() -> None: ...\ndef handle(*what: object) -> None: ...\n"
    tail += "async def fresh_token() -> str: return ''\n"
    assert len(EXAMPLES) >= 9
    for number, example in enumerate(EXAMPLES):
        body = f"async def main() -> None:\n{textwrap.indent(example, '    ')}"
        (tmp_path / f"example{number}.py").write_text(head + names + tail + body)
    env = {**os.environ, "MYPYPATH": os.path.join(LIBRARY, "src")}
    checked("mypy", "--strict", "--cache-dir", CACHE, str(tmp_path), env=env)


def test_the_packages_hold_what_they_should(tmp_path):
    checked("build", "--no-isolation", "--outdir", str(tmp_path), LIBRARY)
    (wheel,) = tmp_path.glob("*.whl")
    (sdist,) = tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert "fermata_client/py.typed" in names and "fermata_client/__init__.py" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert not [name for name in names if "test" in name.lower()]
    assert "Requires-Python: >=3.9" in metadata and "License-Expression: Apache-2.0" in metadata
    assert metadata.count("Requires-Dist: ") == 2
    with tarfile.open(sdist) as archive:
        files = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "src/fermata_client/py.typed"} <= files


def test_the_changelog_names_the_version():
    import fermata_client

    with open(os.path.join(LIBRARY, "CHANGELOG.md"), encoding="utf-8") as file:
        assert f"## {fermata_client.__version__}" in file.read()


def test_the_licence_is_the_projects():
    with open(os.path.join(ROOT, "LICENSE")) as ours, open(os.path.join(LIBRARY, "LICENSE")) as copy:
        assert ours.read() == copy.read()


@pytest.mark.parametrize("name", __import__("fermata_client").__all__)
def test_every_public_name_is_documented(name):
    import fermata_client

    thing = getattr(fermata_client, name)
    if name in ("Message", "AsyncHeaders", "SyncHeaders"):
        return
    assert (thing.__doc__ or "").strip() and not thing.__doc__.startswith(f"{name}(")
    for member, value in vars(thing).items() if isinstance(thing, type) else ():
        if not member.startswith("_") and (callable(value) or isinstance(value, property)):
            assert (value.__doc__ or "").strip(), f"{name}.{member}"


def fields_of_public_classes():
    """Each field of a public class, and whether a text stands below it: fields keep none while the program runs."""
    import fermata_client

    for path in glob.glob(os.path.join(LIBRARY, "src/fermata_client/*.py")):
        with open(path, encoding="utf-8") as file:
            classes = [node for node in ast.parse(file.read()).body if isinstance(node, ast.ClassDef)]
        for each in classes:
            for node, below in zip(each.body, [*each.body[1:], None]):
                if each.name in fermata_client.__all__ and isinstance(node, ast.AnnAssign):
                    has_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                    yield f"{each.name}.{node.target.id}", has_text


def test_every_public_field_is_documented():
    fields = dict(fields_of_public_classes())
    assert len(fields) > 40
    assert [name for name, has_text in fields.items() if not has_text and "._" not in name] == []
