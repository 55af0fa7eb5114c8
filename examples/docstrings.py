"""The docstrings of the Python that runs this: real text, on every machine, nothing to download.

Modules written in Python are parsed, never imported. Those compiled into the interpreter have no
source here; importing them does nothing, so they are asked.
"""

import ast
import importlib
import inspect
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

SKIPPED = {"test", "tests", "idle_test", "lib2to3", "site-packages", "dist-packages"}
FEWEST_WORDS = 3
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

Document = tuple[str, str]  # dotted name, text


def standard_library() -> dict[str, str]:
    """Return every docstring under its dotted name, such as json.decoder.JSONDecoder.decode."""
    documents: dict[str, str] = {}
    for name, text in (*from_sources(Path(sysconfig.get_path("stdlib"))), *from_interpreter()):
        if len(text.split()) >= FEWEST_WORDS:
            documents.setdefault(name, text)  # a getter comes before its setter: the first is kept
    return documents


def from_sources(root: Path) -> Iterator[Document]:
    """Yield the documents of the modules below `root`, except tests and what does not parse."""
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root).with_suffix("")
        if not SKIPPED.isdisjoint(inside.parts):
            continue
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        yield from in_tree(tree, ".".join(inside.parts).removesuffix(".__init__"))


def in_tree(node: ast.AST, name: str) -> Iterator[Document]:
    """Yield the docstring of a module, class or function, then those of what it defines."""
    if isinstance(node, (ast.Module, *DEFINITIONS)) and (text := ast.get_docstring(node)):
        yield name, text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, DEFINITIONS):
            yield from in_tree(child, f"{name}.{child.name}")
        elif not isinstance(child, ast.expr):
            yield from in_tree(child, name)


def from_interpreter() -> Iterator[Document]:
    """Yield the documents of the modules compiled into this interpreter: builtins, itertools ..."""
    for name in sys.builtin_module_names:
        yield from in_namespace(importlib.import_module(name), name)


def in_namespace(owner: ModuleType | type, name: str) -> Iterator[Document]:
    """Yield the docstring of a compiled module or class, then those of its public members."""
    yield name, inspect.cleandoc(owner.__doc__ or "")
    for key, value in vars(owner).items():
        if key.startswith("_"):
            continue
        if inspect.isclass(value) and inspect.ismodule(owner):
            yield from in_namespace(value, f"{name}.{key}")
        elif inspect.isroutine(value) or inspect.isdatadescriptor(value):
            yield f"{name}.{key}", inspect.cleandoc(value.__doc__ or "")
