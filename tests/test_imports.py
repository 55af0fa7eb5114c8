"""The layers: who may import whom, who may speak of what, and what `import geodask` loads."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "geodask"

# A layer imports only from itself and from the layers above it in this list.
LAYERS = [
    {"errors", "config", "events"},
    {"arrays"},
    {"geodesics"},
    {"manifolds"},
    {"kernels"},
    {"storage"},
    {"engine"},
    {"ops"},
    {"learn"},
    {"cluster"},
    {"monitor"},
    {"service"},
    {"testing", "__init__"},
]
DEPTH = {name: depth for depth, layer in enumerate(LAYERS) for name in layer}
DEPTH["__version__"] = 0  # a constant, for keys and reports

LIBRARIES_ONLY_IN = {
    "torch": {"arrays", "geodesics"},
    "cupy": {"arrays", "geodesics"},
    "bokeh": {"monitor"},
}
WORDS_NEVER_IN = {  # in names and strings; comments and docstrings are free
    "kernels": r"\bdask|distributed",
    "storage": r"manifold",
    "ops": r"\bcuda|\bdevice",
}

every_file = pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)


@every_file
def test_a_layer_imports_only_from_layers_above(path: Path) -> None:
    layer = layer_of(path)
    assert layer in DEPTH, f"{layer} is in no layer of LAYERS"
    for module in imports(path):
        top, _, rest = module.partition(".")
        if top == "geodask":
            target = rest.partition(".")[0]
            # What is no layer is a public name, and those are at the very top.
            assert DEPTH.get(target, DEPTH["__init__"]) <= DEPTH[layer], f"imports {module}"
        elif layer in LAYERS[0]:
            assert top in {"dask", *sys.stdlib_module_names}, f"imports {module}"


@every_file
def test_a_layer_keeps_to_its_own_words(path: Path) -> None:
    layer = layer_of(path)
    words = set(identifiers(path))
    for library, homes in LIBRARIES_ONLY_IN.items():
        modules = {part for module in imports(path) for part in module.split(".")}
        assert layer in homes or library not in words | modules
    words |= set(strings(path))
    if layer in WORDS_NEVER_IN:
        never = re.compile(WORDS_NEVER_IN[layer], re.IGNORECASE)
        assert [word for word in sorted(words) if never.search(word)] == []


@every_file
def test_nothing_prints(path: Path) -> None:
    assert "print" not in identifiers(path)


def test_import_geodask_loads_no_dependency() -> None:
    code = """if True:
        import sys
        before = set(sys.modules)
        import geodask
        loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
        sys.stdout.write(" ".join(loaded - set(sys.stdlib_module_names)))
    """
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert set(loaded.stdout.split()) <= {"geodask", "numpy"}


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> Iterator[str]:
    """Yield every module or name that a file imports, from the top of its package on."""
    folder = path.relative_to(PACKAGE.parent).parts[:-1]
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) + 1 - node.level] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield ast.unparse(node.args[0]).strip("'")


def identifiers(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if not isinstance(node, ast.Constant):
            yield from (value for _, value in ast.iter_fields(node) if isinstance(value, str))


def strings(path: Path) -> Iterator[str]:
    docstrings = {node.value for node in nodes(path) if isinstance(node, ast.Expr)}
    for node in nodes(path):
        if isinstance(node, ast.Constant) and node not in docstrings:
            yield str(node.value)
