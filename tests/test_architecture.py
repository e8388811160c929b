"""The house stands: a module imports only from lower floors or from its own folder, and nothing goes in circles."""

import ast
from pathlib import Path

import pytest

FLOORS = [
    ["errors", "collecting"],
    ["registry"],
    ["complexstep", "runs"],
    ["data", "models", "attribution"],
    ["training"],
    ["checks"],
    ["store", "figures"],
    ["reproduce"],
    ["explorer"],
    ["cli"],
    ["__main__"],
]
PACKAGE = "imagrad"
SOURCE = Path(__file__).parent.parent / "src" / PACKAGE
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}


def modules(source):
    """Map each module's dotted name to its file."""
    names = {}
    for path in source.rglob("*.py"):
        parts = path.relative_to(source.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_of(path, name, known):
    """List the imagrad modules that a file imports when it is run, in functions too; the front door counts as one."""
    found = set()
    tree = ast.parse(path.read_text())
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    type_only = {id(inner) for guard in guards for statement in guard.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in type_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute here"
            found |= {
                f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in known else node.module for a in node.names
            }
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            found |= {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and part.value in known}
    return {module for module in found if module.split(".")[0] == PACKAGE and module in known}


def room(module):
    """Name the folder or file on the ground plan that a module belongs to."""
    return module.split(".")[1] if "." in module else PACKAGE


def faults(source):
    """List everything that breaks the floors of the house under `source`."""
    known = modules(source)
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    graph = {name: imports_of(path, name, known) for name, path in known.items()}
    found = []
    for name, imported in graph.items():
        if name == PACKAGE:
            continue  # the front door: lazy names from every floor
        if room(name) not in floor:
            found.append(f"{name} stands on no floor")
            continue
        if name.rsplit(".", 1)[-1] in FORBIDDEN_NAMES:
            found.append(f"{name} does not name its subject")
        if PACKAGE in imported and floor[room(name)] < floor["cli"]:
            found.append(f"{name} goes through the front door, which leads to every floor")
        for other in imported - {PACKAGE}:
            if room(other) != room(name) and floor.get(room(other), 99) >= floor[room(name)]:
                found.append(f"{name} imports {other}, which is not below it")
    return found + cycles(graph)


def cycles(graph):
    """List the modules that import themselves through others."""
    found = []
    for start in graph:
        reached, waiting = set(), [start]
        while waiting:
            for other in graph[waiting.pop()] - {PACKAGE}:
                if other not in reached:
                    reached.add(other)
                    waiting.append(other)
        if start in reached:
            found.append(f"{start} imports itself in a circle")
    return found


def test_floors_hold():
    assert faults(SOURCE) == []


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"data/a.py": "from imagrad.training import loop"}, "imagrad.data.a imports imagrad.training.loop"),
        ({"data/a.py": "import imagrad.models.b", "models/b.py": ""}, "imagrad.data.a imports imagrad.models.b"),
        ({"data/a.py": "def f():\n    from imagrad import figures"}, "imagrad.data.a imports imagrad.figures"),
        ({"data/a.py": "from imagrad.data import b", "data/b.py": "import imagrad.data.a"}, "in a circle"),
        ({"data/a.py": "import imagrad\nimagrad.draw(1)"}, "imagrad.data.a goes through the front door"),
        ({"data/a.py": "from imagrad import saliency"}, "imagrad.data.a goes through the front door"),
        ({"data/a.py": "import_module('imagrad.figures')"}, "imagrad.data.a imports imagrad.figures"),
        ({"data/a.py": "if TYPE_CHECKING:\n    x = 1\nelse:\n    import imagrad.figures"}, "imports imagrad.figures"),
        ({"attic/a.py": ""}, "imagrad.attic.a stands on no floor"),
        ({"data/utils.py": ""}, "does not name its subject"),
    ],
)
def test_planted_fault_is_found(tmp_path, files, fault):
    base = {"__init__.py": "", "figures.py": "", "training/__init__.py": "", "training/loop.py": ""}
    for name, text in {**base, **files}.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert any(fault in found for found in faults(tmp_path / PACKAGE))


def test_imports_for_types_alone_are_no_fault(tmp_path):
    for file, text in {"__init__": "", "figures": "", "runs": "if TYPE_CHECKING:\n    import imagrad.figures"}.items():
        (tmp_path / PACKAGE).mkdir(exist_ok=True)
        (tmp_path / PACKAGE / f"{file}.py").write_text(text)
    assert faults(tmp_path / PACKAGE) == []


def test_files_and_functions_stay_small():
    for name, path in modules(SOURCE).items():
        assert len(path.read_text().splitlines()) <= 400, f"{name} is longer than 400 lines"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1].lineno if ast.get_docstring(node) and len(node.body) > 1 else node.lineno
                assert node.end_lineno - first <= 40, f"{name}.{node.name} is longer than 40 lines"
