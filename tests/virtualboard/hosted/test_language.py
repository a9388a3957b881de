"""The language of the board: what its compiler refuses, what does not exist, and how modules are found."""

import sys

import pytest

from virtualboard.hosted import program
from virtualboard.hosted.dialect import problems, syntax_problems


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("print(f'{1}')", "f-string"),
        ("if (n := 3): pass", "walrus"),
        ("async def f(): pass", "async"),
        ("x: int = 1", "annotated"),
        ("class A:\n    x: int = 1", "annotated"),
        ("def f(a, /): pass", "positional-only"),
        ("f(*a, *b)", "one *"),
        ("f(*a, b)", "follow"),
        ("f(**a, **b)", "one **"),
        ("x = [*a, b]", "unpack"),
        ("x = {**d}", "unpack"),
        ("a = b @ c", "@"),
        ("X = const('a')", "integers"),
        ("match x:\n    case 1: pass", "match"),
    ],
)
def test_compiler_refuses(device, source, word):
    found = syntax_problems(source)
    assert len(found) == 1 and word in found[0].text
    device.card.joinpath("bad.py").write_text("\n\n" + source)
    ran = device.run("import bad")
    assert ran.code == 1
    assert ran.last.startswith("SyntaxError: invalid syntax")
    assert f'File "bad.py", line {found[0].line + 2}' in ran.text


def test_compiler_takes_what_the_board_takes():
    source = """
def f(a: int, *args, b=1, **kw) -> int:
    yield from args
x, *rest = (1, 2, 3)
y = f(1, *rest, b=2, **{})
_N = const(1 << 4)
print('%d {!r}'.format(1_000), {1, 2}, {k: v for k, v in ()}, b'%s' % b'x')
with open('x') as g:
    pass
"""
    assert syntax_problems(source) == []
    assert problems(source) == []


@pytest.mark.parametrize(
    ("source", "line", "word"),
    [
        ("import functools", 1, "functools"),
        ("import os.path", 1, "os.path"),
        ("x = 1\ntry:\n    pass\nexcept FileNotFoundError:\n    pass", 4, "FileNotFoundError"),
        ("e = 1\nprint(e.errno)", 2, "errno"),
        ("'7'.zfill(3)", 1, "zfill"),
        ("b''.hex()", 1, "hex"),
        ("next(iter(()), None)", 1, "next()"),
        ("'a'.startswith(('a', 'b'))", 1, "one string"),
        ("import json\njson.dumps({}, indent=1)", 2, "no keywords"),
        ("'abc'[::2]", 1, "step"),
        ("raise ValueError() from None", 1, "chained"),
        ("(5).to_bytes(2, 'big', signed=True)", 1, "no keywords"),
        ("print(1, flush=True)", 1, "flush"),
        ("undefined_thing()", 1, "undefined_thing"),
    ],
)
def test_names_that_do_not_exist(source, line, word):
    found = problems(source)
    assert [problem.line for problem in found] == [line]
    assert word in found[0].text


def test_a_line_can_be_exempted():
    assert problems("[1, 2, 3][::2]  # dialect: ok, a list") == []


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("'7'.zfill(3)", "AttributeError"),
        ("b'a'.hex()", "AttributeError"),
        ("(5).bit_length()", "AttributeError"),
        ("bytearray(b'ab').find(b'a')", "AttributeError"),
        ("next(iter(()), None)", "TypeError"),
        ("FileNotFoundError", "NameError"),
        ("'{}'.format(ascii)", "NameError"),
        ("open('/sd/none')", "OSError: [Errno 2] ENOENT"),
        ("1 // 0", "ZeroDivisionError: divide by zero"),
    ],
)
def test_absent_things_fail_at_run_time(device, expression, error):
    ran = device.run(expression)
    assert ran.code == 1
    assert ran.last.startswith(error), ran.text


def test_own_methods_with_such_names_work(device):
    source = """
    class A:
        def hex(self): return 'own'
        title = 'mine'
    a = A()
    print(a.hex(), a.title, A.title)
    """
    assert device.run(source).last == "own mine mine"


def test_oserror_is_micropythons(device):
    source = """
    try:
        open('/sd/none')
    except OSError as e:
        print(e, repr(e), e.args[0], type(e).__name__, isinstance(e, Exception))
        try:
            e.errno
        except AttributeError as a:
            print(a)
    print(str(OSError(116)), str(OSError('text')), OSError(128), OSError(9999))
    """
    assert device.run(source).lines == [
        "[Errno 2] ENOENT OSError(2,) 2 OSError True",
        "'OSError' object has no attribute 'errno'",
        "[Errno 116] ETIMEDOUT text [Errno 128] ENOTCONN 9999",
    ]


def test_traceback_names_only_device_code(device):
    device.card.joinpath("lib.py").write_text("def f(n):\n    return 1 // n\n")
    ran = device.run("import lib\n\ndef g():\n    lib.f(0)\n\ng()\n")
    assert ran.text == (
        "Traceback (most recent call last):\n"
        '  File "main.py", line 6, in <module>\n'
        '  File "main.py", line 4, in g\n'
        '  File "lib.py", line 2, in f\n'
        "ZeroDivisionError: divide by zero\n"
    )


@pytest.mark.parametrize(
    "name",
    [
        "io",
        "select",
        "ssl",
        "uselect",
        "uasyncio",
        "threading",
        "functools",
        "itertools",
        "datetime",
        "os.path",
        "string",
    ],
)
def test_absent_modules(device, name):
    ran = device.run(f"import {name}")
    assert ran.code == 1
    assert "ImportError: no module named" in ran.last


def test_every_name_of_a_module(device):
    source = """
    import os, uos, time, utime, json, ujson, re, struct, binascii, hashlib, errno, random, collections
    print(os is uos, json is ujson, time.__name__, os.__name__, hashlib.__name__)
    print(sorted(n for n in dir(hashlib) if n[0] != '_'))
    """
    assert device.run(source).lines == ["True True time uos uhashlib", "['sha256']"]


def test_host_modules_stay_untouched(device):
    before = dict(sys.modules)
    path = list(sys.path)
    ran = device.run(
        """
        import sys, os
        sys.path.append('/x'); sys.modules['os'] = 1
        os.extra = 5
        print(sys.platform, sys.version, sys.implementation[0])
        """
    )
    assert ran.last == "MaixPy 3.4.0 micropython"
    assert sys.path == path
    import os

    assert not hasattr(os, "extra")
    assert all(sys.modules[name] is module for name, module in before.items())


def test_import_order_and_packages(device):
    card = device.card
    (card / "pkg").mkdir()
    (card / "pkg" / "__init__.py").write_text("name = 'pkg'\n")
    (card / "pkg" / "a.py").write_text("from pkg import b\nvalue = b.value + 1\n")
    (card / "pkg" / "b.py").write_text("value = 1\n_HIDDEN = const(7)\nSHOWN = const(8)\nboth = _HIDDEN + SHOWN\n")
    (card / "json.py").write_text("mine = True\n")
    (card / "time.py").write_text("mine = True\n")
    (card / "two.py").write_text("kind = 'py'\n")
    (card / "two.mpy").write_bytes(b"M\x04rest")
    source = """
    import pkg.a
    from pkg import a, b
    import json, time, two
    print(pkg.name, a.value, b.both, json.mine, hasattr(time, 'mine'), two.kind)
    print(hasattr(b, '_HIDDEN'), b.SHOWN)
    """
    assert device.run(source).lines == ["pkg 2 15 True False py", "False 8"]


def test_failed_import_is_forgotten(device):
    device.card.joinpath("half.py").write_text("import nothing_here\n")
    source = """
    import sys
    for i in range(2):
        try:
            import half
        except ImportError as e:
            print(e, 'half' in sys.modules)
    """
    assert device.run(source).lines == ["no module named 'nothing_here' False"] * 2


def test_mpy_without_source_is_refused(device):
    device.card.joinpath("m.mpy").write_bytes(b"M\x06\x00\x00")
    assert device.run("import m").last == "ValueError: incompatible .mpy file"


def test_import_from_flash_needs_flash_as_directory(device):
    device.flash.joinpath("here.py").write_text("print('found')\n")
    source = """
    import os, sys
    print(os.getcwd(), sys.path)
    try:
        import here
    except ImportError as e:
        print(e)
    os.chdir('/flash')
    import here
    """
    assert device.run(source).lines == ["/sd ['', '.', '/flash']", "no module named 'here'", "found"]


def test_late_and_missing_cards(device):
    assert device.value("os.getcwd(), os.listdir('/')", "import os", settings={"card": None}) == "/flash ['flash']"
    early = device.value("os.getcwd(), sys.path", "import os, sys", card_delay_ms=0)
    assert early == "/sd ['', '.', '/flash']"
    source = """
    import os, time
    print(os.getcwd(), os.listdir('/'))
    time.sleep_ms(1500)
    print(os.getcwd(), os.listdir('/'))
    """
    device.flash.joinpath("main.py").write_text("\n".join(line.strip() for line in source.splitlines()))
    ran = device.run(None, card_delay_ms=1000)
    assert ran.lines[-2:] == ["/flash ['flash']", "/sd ['flash', 'sd']"]


def test_boot_runs_boot_and_main_from_the_card(device):
    device.card.joinpath("boot.py").write_text("print('boot')\n1 // 0\n")
    device.card.joinpath("main.py").write_text("print('main', __name__)\n")
    device.flash.joinpath("main.py").write_text("print('wrong one')\n")
    ran = device.run(None)
    assert "wrong one" not in ran.text
    assert ran.text.endswith(
        "boot\nTraceback (most recent call last):\n"
        '  File "boot.py", line 2, in <module>\nZeroDivisionError: divide by zero\nmain __main__\n'
    )


def test_boot_writes_a_main_where_there_is_none(device):
    ran = device.run(None)
    assert device.card.joinpath("main.py").read_bytes().startswith(b"import lcd")
    assert ran.board.panel.image().getpixel((5, 5)) == (255, 0, 0)


def test_covers_are_taken_over_with_a_reset(device):
    device.card.joinpath("cover.main.py").write_text("print('covered')\n")
    device.card.joinpath("main.py").write_text("")
    ran = device.run(None)
    assert device.flash.joinpath("main.py").read_text() == "print('covered')\n"
    assert ran.engine.resets == 1


def test_exec_eval_and_namespaces(device):
    source = """
    ns = {}
    exec('a = 2\\nb = a * 3', ns)
    print(ns['b'], eval('1 + 2'), eval('a', ns))
    open('x.py', 'w').write('here = 5')
    import gc; gc.collect()
    execfile('x.py')
    print(here, 'here' in globals())
    exec('print(f"")')
    """
    ran = device.run(source)
    assert ran.lines[:2] == ["6 3 2", "5 True"]
    assert ran.last.startswith("SyntaxError")


def test_loops_can_be_stopped_and_cost_time(device):
    ran = device.run("while True:\n    try:\n        pass\n    except:\n        pass\n", end_ns=2_000_000_000)
    assert (ran.code, ran.engine.ended) == (3, "time limit")
    quick = device.run("for i in range(100): pass").board.clock.now
    slow = device.run("for i in range(100000): pass").board.clock.now
    assert 2_000_000 < slow - quick < 100_000_000


def test_a_program_that_hangs_does_so_for_as_long_as_in_single_rounds(device, monkeypatch):
    source = """
    from machine import Timer
    import utime
    seen = []
    def hit(timer):
        seen.append(utime.ticks_us())
        if len(seen) == 40:
            raise KeyboardInterrupt
    t = Timer(Timer.TIMER0, Timer.CHANNEL0, mode=Timer.MODE_PERIODIC, period=7, callback=hit)
    try:
        while True: pass
    except KeyboardInterrupt:
        print(seen)
    while 1:
        pass
    """
    end_ns = 900_000_000
    many = device.run(source, end_ns=end_ns)
    monkeypatch.setattr(program, "hangs", lambda loop: False)
    single = device.run(source, end_ns=end_ns)
    assert many.text == single.text and many.text.count(",") == 39
    assert many.board.clock.now == single.board.clock.now >= end_ns
