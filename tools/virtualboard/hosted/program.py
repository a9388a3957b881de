"""Device source text made into code that CPython can run as the board would.

The syntax tree is checked against the dialect and then changed in three ways:

* every function, loop round and exception handler begins with a step that costs processor time. It is also where
  Ctrl-C, scheduled callbacks and resets take hold, as between bytecodes on the board. A loop that does nothing for ever
  takes many rounds in one step;
* `_NAME = const(n)` at module level is worked in as the number and leaves no name behind;
* attributes that CPython's own types have and MicroPython's do not are looked up through a check.
"""

from __future__ import annotations

import ast
import types

from virtualboard.hosted.dialect import check_tree, words

STEP = "__step__"
SPIN = "__spin__"
ABSENT = "__absent__"

CHECKED = words(
    "zfill ljust rjust title casefold capitalize isalnum expandtabs translate maketrans swapcase "
    "isidentifier isprintable isnumeric isdecimal isascii istitle format_map removeprefix "
    "removesuffix fromhex hex bit_length bit_count as_integer_ratio is_integer __traceback__ "
    "__cause__ __context__ with_traceback add_note"
)

Comprehension = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
_OWN_STEPS = (ast.FunctionDef, ast.Lambda, ast.For, ast.While, *Comprehension)


def compile_device(source: str | bytes, filename: str, mode: str = "exec", node_cost: int = 60) -> types.CodeType:
    """Code object of device source; SyntaxError (with lineno) where the firmware's compiler would stop."""
    if isinstance(source, bytes):
        try:
            source = source.decode()
        except UnicodeDecodeError:
            raise SyntaxError("invalid syntax", (filename, 1, 0, "")) from None
    try:
        tree = ast.parse(source, filename, mode)
    except ValueError:  # NUL bytes
        raise SyntaxError("invalid syntax", (filename, 1, 0, "")) from None
    for problem in check_tree(tree):
        raise SyntaxError(f"invalid syntax: {problem.text}", (filename, problem.line, 0, ""))
    if isinstance(tree, ast.Module):
        _fold_constants(tree, filename)
    tree = _Steps(node_cost).visit(tree)
    ast.fix_missing_locations(tree)
    return compile(tree, filename, mode, dont_inherit=True)


_ROUND = 9  # what a round of a loop costs by itself: iterator, comparison, jump
_ENTRY = 6  # entering a function
_EXTRA: dict[type[ast.AST], int] = {ast.Call: 9, ast.Subscript: 6, ast.Slice: 15}
_FORMATTING = 280  # '...' % values, and str.format: printing into a growing string


def _weight(node: ast.AST) -> int:
    """Units of work when `node` runs once; loops, functions and comprehensions inside it pay for themselves."""
    total = 0
    stack: list[ast.AST] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, _OWN_STEPS) and item is not node:
            total += 2
            continue
        if isinstance(item, (ast.expr, ast.stmt, ast.Slice)):
            total += 1 + _EXTRA.get(type(item), 0)
            if _formats(item):
                total += _FORMATTING
        stack.extend(ast.iter_child_nodes(item))
    return total


def hangs(node: ast.For | ast.While) -> bool:
    """True of `while True: pass`, in which a program waits for the watchdog: a round changes nothing."""
    endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
    return endless and all(isinstance(statement, ast.Pass) for statement in node.body)


def _formats(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return isinstance(node.left, ast.Constant) and isinstance(node.left.value, (str, bytes))
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"


class _Steps(ast.NodeTransformer):
    def __init__(self, node_cost: int) -> None:
        self._node_cost = node_cost

    def _step(self, statements: list[ast.stmt], at: ast.AST, extra: int = 0, name: str = STEP) -> ast.stmt:
        weight = extra + sum(_weight(statement) for statement in statements)
        step = ast.copy_location(ast.Expr(self._call(weight, name)), at)
        return ast.fix_missing_locations(step)

    def _call(self, weight: int, name: str = STEP) -> ast.Call:
        return ast.Call(ast.Name(name, ast.Load()), [ast.Constant(weight * self._node_cost)], [])

    def visit_Module(self, node: ast.Module) -> ast.AST:
        first = self._step(node.body, node.body[0]) if node.body else None
        self.generic_visit(node)
        if first is not None:
            node.body.insert(0, first)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        step = self._step(node.body, node.body[0], _ENTRY)
        self.generic_visit(node)
        node.body.insert(0, step)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        return node

    def _loop(self, node: ast.For | ast.While) -> ast.AST:
        step = self._step(node.body, node.body[0], _ROUND, SPIN if hangs(node) else STEP)
        self.generic_visit(node)
        node.body.insert(0, step)
        return node

    visit_For = visit_While = _loop

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> ast.AST:
        """The value becomes `(step, value)[1]`: there is no place for a statement."""
        value = node.value if isinstance(node, ast.DictComp) else node.elt
        weight = _ROUND + _weight(value)
        self.generic_visit(node)
        value = node.value if isinstance(node, ast.DictComp) else node.elt
        pair = ast.Tuple([self._call(weight), value], ast.Load())
        stepped = ast.copy_location(ast.Subscript(pair, ast.Constant(1), ast.Load()), value)
        if isinstance(node, ast.DictComp):
            node.value = stepped
        else:
            node.elt = stepped
        return node

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        step = self._step([], node.body[0])
        self.generic_visit(node)
        node.body.insert(0, step)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr in CHECKED and isinstance(node.ctx, ast.Load):
            call = ast.Call(ast.Name(ABSENT, ast.Load()), [node.value, ast.Constant(node.attr)], [])
            return ast.copy_location(call, node)
        return node


def _fold_constants(tree: ast.Module, filename: str) -> None:
    """Replace names bound by `NAME = const(n)` at module level, as `py/parse.c` does."""
    values: dict[str, int] = {}

    class Replace(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            if isinstance(node.ctx, ast.Load) and node.id in values:
                return ast.copy_location(ast.Constant(values[node.id]), node)
            return node

    body: list[ast.stmt] = []
    for statement in tree.body:
        statement = Replace().visit(statement)
        name = _const_target(statement)
        if name is not None:
            assert isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)
            values[name] = _integer(statement.value.args[0], filename)
            if name.startswith("_"):
                continue
            statement.value = ast.copy_location(ast.Constant(values[name]), statement)
        body.append(statement)
    tree.body = body


def _const_target(statement: ast.stmt) -> str | None:
    if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
        return None
    target, value = statement.targets[0], statement.value
    if not (isinstance(target, ast.Name) and isinstance(value, ast.Call) and isinstance(value.func, ast.Name)):
        return None
    if value.func.id != "const" or len(value.args) != 1 or value.keywords:
        return None
    return target.id


_ALLOWED = (ast.Constant, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop, ast.Expression)


def _integer(node: ast.expr, filename: str) -> int:
    expression = ast.Expression(node)
    if all(isinstance(item, _ALLOWED) for item in ast.walk(expression)):
        value = eval(compile(ast.fix_missing_locations(expression), filename, "eval"), {"__builtins__": {}})
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    raise SyntaxError("constant must be an integer", (filename, node.lineno, 0, ""))
