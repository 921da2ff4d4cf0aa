"""The shape of the code: imports go down only, doors are few, modules and functions small."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bundler"

LAYERS = {
    "": frozenset[str](),
    "errors": frozenset[str](),
    "model": frozenset(("errors",)),
    "codec": frozenset(("errors", "model")),
    "stages": frozenset(("errors", "model")),
    "aws": frozenset(("errors", "model")),
    # A server that reads bundles as EC2 does; a client's code (aws, workflow) is not for it.
    "embedded": frozenset(("errors", "model", "codec", "stages")),
    "host": frozenset(("errors", "model")),
    "workflow": frozenset(("errors", "model", "codec", "stages", "host")),
    "cli": frozenset(("errors", "model", "host", "aws", "embedded", "workflow")),
    "__main__": frozenset(("cli",)),
}
"""What each part of the package may import besides itself and the package's version."""

DOORS = {
    "lxml": "codec/xml.py",
    "boto3": "aws/session.py",
    "subprocess": "host/run.py",
    "tqdm": "cli/console.py",
    "jmespath": "cli/query.py",
}
"""Libraries that one module alone may import."""

CLOUD_LIBRARIES = frozenset(("boto3", "botocore", "s3transfer", "urllib3"))
"""Libraries of the layer aws alone; stubs for the type checker (mypy_boto3_*) as well."""

SERVER_LIBRARIES = frozenset(("flask", "moto", "werkzeug"))
"""Libraries of the layer embedded alone, which answers in moto's stead where moto is wrong."""

WORLD = frozenset(
    ("os", "pathlib", "shutil", "tempfile", "socket", "urllib", "http", "time", "random")
)
"""Standard modules of files, network, clock and chance: model and codec import none of them."""

LATE_DOORS = frozenset(
    (
        # It imports moto, an extra that only the demo needs.
        ("embedded/server.py", "bundler.embedded.application"),
        ("cli/console.py", "tqdm"),  # slow, and only people on terminals need it
        ("cli/bundle_options.py", "bundler.cli.cloud"),  # slow, and not every command needs it
        ("cli/bundle_options.py", "bundler.cli"),
        ("cli/bundle_source.py", "bundler.cli.snapshot_source"),
        ("cli/inherit.py", "bundler.aws.session"),
        ("cli/inspect.py", "bundler.cli.stored"),
        ("cli/unbundle.py", "bundler.cli.stored"),
        ("cli/verify.py", "bundler.cli.stored"),
    )
)
"""Imports that may stand inside a function: module, and what it imports there."""

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40
"""Lines of a function's body, without its docstring; one that only lists may be longer."""

TOP_LEVEL = frozenset(("pyproject.toml", "README.md", "LICENSE", "bundler", "tests", "scripts"))
BUILT = frozenset(("build", "dist", "__pycache__", "ami_bundler.egg-info"))
"""What tools leave at the top level; .gitignore has them all."""

MODULES = tuple(sorted(PACKAGE.rglob("*.py")))

Import = ast.Import | ast.ImportFrom

every_module = pytest.mark.parametrize(
    "path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES]
)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def layer_of(module: str) -> str:
    """The layer of a module by its dotted name; empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


def own_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    base = ROOT.joinpath(*name.split("."))
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()


def imported_names(node: Import) -> list[str]:
    """Dotted names of the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    source = node.module or ""
    if source.split(".")[0] != "bundler":
        return [source]
    submodules = (f"{source}.{alias.name}" for alias in node.names)
    return [name if is_module(name) else source for name in submodules]


def statements(nodes: Iterable[ast.AST]) -> Iterator[Import]:
    return (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Line and dotted name of each import, wherever it stands."""
    found = statements(ast.walk(tree_of(path)))
    return [(node.lineno, name) for node in found for name in imported_names(node)]


def imports_at_start(path: Path) -> list[str]:
    """Dotted names of what is imported when the module is."""
    return [name for node in statements(tree_of(path).body) for name in imported_names(node)]


def is_for_types(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


@every_module
def test_imports_go_down_only(path: Path) -> None:
    layer = layer_of(own_name(path))
    allowed = {layer, *LAYERS[layer]}
    wrong = [
        f"line {line}: {name}"
        for line, name in imports_of(path)
        if name.split(".")[0] == "bundler" and name != "bundler" and layer_of(name) not in allowed
    ]
    assert wrong == []


def test_the_package_holds_no_logic() -> None:
    kinds = {type(node) for node in tree_of(PACKAGE / "__init__.py").body}
    assert kinds <= {ast.Expr, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom}


@every_module
def test_libraries_have_one_door(path: Path) -> None:
    place = str(path.relative_to(PACKAGE))
    wrong = []
    for line, name in imports_of(path):
        library = name.split(".")[0]
        is_wrong_door = DOORS.get(library, place) != place
        is_of_cloud = library in CLOUD_LIBRARIES or library.startswith("mypy_boto3")
        is_misplaced = (is_of_cloud and not place.startswith("aws/")) or (
            library in SERVER_LIBRARIES and not place.startswith("embedded/")
        )
        if is_wrong_door or is_misplaced:
            wrong.append(f"line {line}: {name}")
    assert wrong == []


@pytest.mark.parametrize("door", sorted(set(DOORS.values())))
def test_doors_are_there(door: str) -> None:
    libraries = {library for library, place in DOORS.items() if place == door}
    found = {name.split(".")[0] for _, name in imports_of(PACKAGE / door)}
    assert libraries <= found


@every_module
def test_model_and_codec_are_pure(path: Path) -> None:
    layer = layer_of(own_name(path))
    libraries = {name.split(".")[0] for _, name in imports_of(path)}
    if layer in ("model", "codec"):
        assert libraries.isdisjoint(WORLD)
    if layer == "model":
        assert libraries <= {"bundler", *sys.stdlib_module_names}


@every_module
def test_imports_are_absolute_and_at_the_top(path: Path) -> None:
    tree = tree_of(path)
    place = str(path.relative_to(PACKAGE))
    top = set(statements(tree.body))
    for node in filter(is_for_types, tree.body):
        top.update(statements(ast.walk(node)))
    wrong = []
    for node in statements(ast.walk(tree)):
        late = {(place, late_name(name)) for name in imported_names(node)} & LATE_DOORS
        is_relative = isinstance(node, ast.ImportFrom) and node.level > 0
        if is_relative or (node not in top and not late):
            wrong.append(f"line {node.lineno}")
    assert wrong == []


def late_name(name: str) -> str:
    """As LATE_DOORS has it: our own modules by their names, libraries by their first."""
    return name if name.startswith("bundler.") else name.split(".")[0]


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {own_name(path): imports_at_start(path) for path in MODULES}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " imports ".join((*trail[trail.index(name) :], name))
        if name in done or name not in graph:
            return
        for imported in graph[name]:
            visit(imported, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@every_module
def test_modules_are_small(path: Path) -> None:
    line_count = path.read_text(encoding="utf-8").count("\n")
    assert line_count <= MAX_MODULE_LINES


@every_module
def test_functions_fit_a_screen(path: Path) -> None:
    long = {
        f"{node.name} (line {node.lineno})": function_length(node)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and function_length(node) > MAX_FUNCTION_LINES
        and has_control_flow(node)
    }
    assert long == {}


def function_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, without the docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def has_control_flow(node: ast.AST) -> bool:
    """Whether a function does more than list things one after another."""
    kinds = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
    return any(isinstance(inner, kinds) for inner in ast.walk(node))


def test_module_names_say_what_is_in_them() -> None:
    assert {path.stem for path in MODULES}.isdisjoint(("utils", "helpers", "common", "types"))


def test_top_level_has_nothing_else() -> None:
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert names - TOP_LEVEL - BUILT == set()


def project_files() -> Iterator[Path]:
    for name in (*sorted(TOP_LEVEL), ".ci", ".gitignore"):
        path = ROOT / name
        yield from (path,) if path.is_file() else sorted(path.rglob("*"))


def test_no_file_names_places_of_one_machine() -> None:
    place = re.compile(rb"(?<![\w.~-])/(?:work|opt)/|\.\./shared/")
    wrong = [
        str(path.relative_to(ROOT))
        for path in project_files()
        if path.is_file() and "__pycache__" not in path.parts and place.search(path.read_bytes())
    ]
    assert wrong == []
