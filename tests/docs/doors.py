"""The three doors of the hub as data: what each method of the SDK asks for, what each command uses.

Read from the source, so that a table which claims a door is held to the code.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from cloud_hub.access.policy import API
from tests.docs.pages import ROOT

SDK = ROOT / "cloud_hub" / "sdk"
VERBS = {
    "get": "GET",
    "get_bytes": "GET",
    "post": "POST",
    "put": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "delete_for": "DELETE",
    "post_nothing": "POST",
    "post_text": "POST",
    "put_file": "PUT",
    "put_stream": "PUT",
    "stream": "GET",
    "events": "GET",
}
BY_HELPER = {"download": "GET", "_send_part": "PATCH", "items_of": "GET"}
"""Functions of ``transfer.py`` and ``pages.py`` that ask for the path that they are given second."""
WHOLE = "{}/v2/{}"
"""How an address of a repository begins: the hub's, then ``workspace/image`` as one."""
Function = ast.FunctionDef
Names = dict[str, list[str]]
"""What a name or ``self.x`` may stand for, as templates of paths with ``{}`` for what is filled in."""


def blank(route: str) -> str:
    """Return a route with ``{}`` for each part that is filled in; ``name:version`` is one."""
    return re.sub(r"\{[^}]*\}(:\{[^}]*\})?", "{}", route)


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, str, Function]]:
    """Yield (class or nothing, name, function) of a module."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(node, node.name)
        elif isinstance(node, Function):
            yield inside, node.name, node


def templates(node: ast.expr, names: Names) -> list[str]:
    """Return what an expression for a path may be; nothing where it is no path."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Name):
        return names.get(node.id, [])
    if isinstance(node, ast.Attribute):
        return names.get(f"self.{node.attr}", [])
    if not isinstance(node, ast.JoinedStr):
        return []
    found = [""]
    for part in node.values:
        here = templates(part.value if isinstance(part, ast.FormattedValue) else part, names) or ["{}"]
        found = [before + one for before in found for one in here]
    return found


def assigned(function: ast.AST, names: Names) -> Names:
    """Return the names that a function gives to paths, ``a, b = "x", y`` too."""
    found: Names = dict(names)
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for one, worth in pairs:
            name = one.id if isinstance(one, ast.Name) else f"self.{getattr(one, 'attr', '')}"
            if paths := templates(worth, found):
                found[name] = paths
    return found


def requests_of(function: Function, names: Names) -> set[str]:
    """Return what a function asks the hub for, as ``VERB /path`` with ``{}``."""
    names, found = assigned(function, names), set()
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        verb, path = None, node.args[0]
        if isinstance(node.func, ast.Name) and node.func.id in BY_HELPER:
            verb, path = BY_HELPER[node.func.id], node.args[1]
        elif ast.unparse(node.func).rpartition(".")[0] in {"client", "self._client"}:
            verb = VERBS.get(node.func.attr) if isinstance(node.func, ast.Attribute) else None
        if verb:
            found |= {f"{verb} {_address(blank(one))}" for one in templates(path, names)}
    return found


def _address(path: str) -> str:
    """Return where a path of the SDK leads: below the API, or from ``hub`` on where it is an address."""
    return f"/v2/{{}}/{{}}{path[len(WHOLE) :]}" if path.startswith(WHOLE) else f"{API}{path}"


def called(function: ast.AST) -> set[str]:
    """Return what a function calls: ``share``, and ``members.share`` where it is called so."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(node.func.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value
            found |= {node.func.attr, f"{getattr(of, 'attr', '')}.{node.func.attr}"}
    return found


def trees(folder: Path) -> list[ast.Module]:
    """Return the modules of a folder."""
    return [ast.parse(path.read_text()) for path in sorted(folder.glob("*.py"))]


def sdk_requests(modules: list[ast.Module]) -> dict[str, set[str]]:
    """Return what each public method of the SDK asks for, by ``Class.method``, its helpers included."""
    own: dict[str, set[str]] = {}
    calls: dict[str, set[str]] = {}
    for tree in modules:
        found = list(functions(tree))
        for kind, name, function in found:
            at_start = [f for k, n, f in found if k == kind and n == "__init__"] if kind else []
            names: Names = {"self._path": ["/audit", "/workspaces/{}/audit"]} if kind == "AuditLog" else {}
            names = assigned(at_start[0], names) if at_start else names
            if kind in {"Workspace", "ImageCalls", "BuildCalls"}:
                names = {"self._path": ["/workspaces/{}"]}
            key = f"{kind}.{name}" if kind else name
            own[key] = requests_of(function, names)
            calls[key] = called(function)
    return {key: _with_helpers(key, own, calls, set()) for key in own if "._" not in key}


def _with_helpers(key: str, own: dict[str, set[str]], calls: dict[str, set[str]], seen: set[str]) -> set[str]:
    """Return a method's requests with those of its class's other methods and of the functions it calls."""
    if key in seen:
        return set()
    seen.add(key)
    kind = key.partition(".")[0]
    found = set(own[key])
    for name in calls[key]:
        for helper in (f"{kind}.{name}", name):
            if helper in own:
                found |= _with_helpers(helper, own, calls, seen)
    return found


def reached(module: ast.Module, function: str) -> set[str]:
    """Return what a function of a module calls, with what the module's own functions call for it."""
    own = {name: called(node) for kind, name, node in functions(module) if not kind}
    found: set[str] = set()
    ahead = [function]
    while ahead:
        name = ahead.pop()
        new = own.get(name, set()) - found
        found |= new
        ahead += new & own.keys()
    return found
