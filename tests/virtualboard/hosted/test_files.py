"""uos and files: both volumes with their own rules, and nothing beyond them."""

import gc

import pytest

from virtualboard.hosted.flash_fs import PAGE_DATA, USABLE_PAGES, FlashFiles


def check(device, source, *lines, **options):
    ran = device.run("import os\n" + source, **options)
    assert ran.code == 0, ran.text
    assert ran.lines == list(lines)
    return ran


def errors(call):
    """Source that prints what a call raises, the way device code looks at it."""
    return f"""
try:
    print({call})
except OSError as e:
    print(e.args[0])
except Exception as e:
    print(type(e).__name__, e)
"""


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        ("open('/sd/none')", "2"),
        ("open('/sd/none/x', 'w')", "2"),
        ("open('/nowhere/x')", "19"),
        ("os.listdir('/nowhere')", "19"),
        ("open('/')", "1"),
        ("os.mkdir('/x')", "19"),
        ("os.mkdir('/sd/dir')", "17"),
        ("os.rmdir('/sd/dir')", "13"),
        ("os.rmdir('/sd/file')", "20"),
        ("os.remove('/sd/dir')", "21"),
        ("os.remove('/sd/none')", "2"),
        ("os.rename('/sd/file', '/flash/file')", "1"),
        ("open('/sd/dir')", "2"),
        ("open('/sd/file', 'x')", "17"),
        ("open('/sd/a:b', 'w')", "22"),
        ("open('/flash/none')", "2"),
        ("open('/flash/none', 'a')", "2"),
        ("os.mkdir('/flash/d')", "NotImplementedError SPIFFS not support"),
        ("os.rmdir('/flash/d')", "5"),
        ("os.stat('/flash/none')", "2"),
        ("os.chdir('/flash/anything')", "None"),
        ("os.stat('/flash/./x')[0]", "2"),
        ("open('/sd/file', 'r').write('x')", "1"),
    ],
)
def test_errors(device, call, shown):
    (device.card / "dir").mkdir()
    (device.card / "dir" / "inner").write_text("1")
    (device.card / "file").write_text("1")
    ran = device.run("import os\n" + errors(call))
    if "write('x')" in call:
        assert ran.last not in ("1", "None")  # a file open for reading takes nothing
    else:
        assert ran.last == shown


def test_reading_and_writing_on_the_card(device):
    check(
        device,
        """
with open('/sd/a.bin', 'wb') as f:
    print(f.write(bytes(range(200))), f.tell())
    f.seek(10); f.write(b'XY')
with open('/sd/a.bin', 'rb') as f:
    buf = bytearray(8)
    f.seek(8)
    print(f.readinto(buf), bytes(buf), f.readinto(buf, 2), len(f.read()), f.read(3), f.readinto(buf))
    print(f.seek(-2, 2), f.read())
with open('/sd/a.bin', 'ab') as f:
    f.write(b'end')
print(os.stat('/sd/a.bin')[6], os.stat('/sd/a.bin')[0] == 0x8000)
""",
        "200 200",
        "8 b'\\x08\\tXY\\x0c\\r\\x0e\\x0f' 2 182 b'' 0",
        "198 b'\\xc6\\xc7'",
        "203 True",
    )
    assert device.card.joinpath("a.bin").stat().st_size == 203


def test_text_files_count_characters(device):
    device.card.joinpath("t.txt").write_bytes("äöü€x\nzwei\r\ndrei".encode())
    check(
        device,
        """
f = open('/sd/t.txt')
print([f.read(1), f.read(3), f.readline(), f.readline(), f.readlines()])
f.close()
print([line for line in open('/sd/t.txt', 'rb')][1])
open('/sd/bad.txt', 'wb').write(b'\\xff\\xfe')
import gc; gc.collect()
try:
    open('/sd/bad.txt').read()
except UnicodeError as e:
    print('UnicodeError', e.args)
""",
        "['ä', 'öü€', 'x\\n', 'zwei\\r\\n', ['drei']]",
        "b'zwei\\r\\n'",
        "UnicodeError ()",
    )


def test_directories_and_paths(device):
    check(
        device,
        """
os.mkdir('/sd/d'); os.chdir('/sd/d')
open('f.txt', 'w').close()
print(os.getcwd(), os.listdir(), os.listdir('/sd'), os.listdir('..'))
print(list(os.ilistdir('/sd/d')), list(os.ilistdir('/')))
os.chdir('..'); print(os.getcwd())
os.chdir('/'); print(os.getcwd(), os.listdir())
print(os.listdir(b'/sd'))
""",
        "/sd/d ['f.txt'] ['d'] ['d']",
        "[('f.txt', 32768, 0, 0)] [('flash', 16384, 0), ('sd', 16384, 0)]",
        "/sd",
        "/ ['flash', 'sd']",
        "[b'd']",
    )


def test_failed_chdir_leaves_no_directory(device):
    check(
        device,
        "os.chdir('/flash')\n"
        + errors("os.chdir('/sd')")
        + errors("os.getcwd()")
        + errors("open('x', 'w')")
        + "os.chdir('/flash')\nprint(os.getcwd())\n",
        "19",
        "19",
        "19",
        "/flash",
        settings={"card": None},
    )


def test_rename_over_a_file(device):
    for volume in ("/sd", "/flash"):
        check(
            device,
            f"""
for name, text in (('a', 'new'), ('b', 'old')):
    with open('{volume}/' + name, 'w') as f:
        f.write(text)
os.rename('{volume}/a', '{volume}/b')
print(sorted(os.listdir('{volume}')), open('{volume}/b').read())
os.remove('{volume}/b')
""",
            "['b'] new",
        )


def test_unflushed_data_is_lost_at_a_reset(device):
    ran = device.run(
        """
        import machine
        f = open('/sd/lost', 'wb'); f.write(b'x' * 5000)
        g = open('/sd/kept', 'wb'); g.write(b'y' * 5000); g.close()
        machine.reset()
        """
    )
    assert (ran.code, ran.engine.ended) == (3, "reset")
    assert device.card.joinpath("kept").read_bytes() == b"y" * 5000
    assert device.card.joinpath("lost").stat().st_size < 5000


def test_card_that_is_pulled_and_put_back(device):
    def pull(board, engine):
        board.clock.at(1_500_000_000, board.card.remove)
        board.clock.at(2_500_000_000, board.card.insert)

    device.card.joinpath("f").write_text("1")
    check(
        device,
        """
import time, machine
while time.ticks_ms() < 1600: pass
print(os.listdir('/'))
"""
        + """
print(os.listdir('/sd'))
"""
        + errors("os.stat('/sd/f')")
        + """
while time.ticks_ms() < 2600: pass
"""
        + errors("open('/sd/f')")
        + """
machine.SDCard.remount()
time.sleep_ms(500)
print(open('/sd/f').read())
""",
        "['flash', 'sd']",
        "[]",  # a listing ends where it cannot read
        "5",
        "5",
        "1",
        before=pull,
    )


def test_result_of_remount_is_garbage(device):
    ran = device.run("import machine\nprint(machine.SDCard.remount())\n")
    assert "garbage" in ran.last


def test_full_card(device):
    ran = device.run(
        "f = open('/sd/big', 'wb')\nfor i in range(100): f.write(bytes(4096))\n",
        before=lambda board, engine: board.clock.at(600_000_000, lambda: board.card.fill(64 * 1024)),
    )
    assert ran.last == "OSError: 28"


def test_slow_card_keeps_the_program_waiting(device):
    def stall(board, engine):
        board.clock.at(700_000_000, lambda: board.card.stall(300_000_000))

    source = """
    import time
    time.sleep_ms(300)
    t = time.ticks_ms()
    f = open('/sd/x', 'wb'); f.write(bytes(4096)); f.flush()
    print(time.ticks_diff(time.ticks_ms(), t) >= 300)
    """
    assert device.run(source, before=stall).last == "True"
    assert device.run(source).last == "False"


# -- /flash -----------------------------------------------------------------------------------------------


def test_flash_is_flat(device):
    check(
        device,
        """
with open('/flash/lib/x.py', 'w') as f: f.write('1')
print(os.listdir('/flash'), os.stat('/flash/lib/x.py')[0] == 0x8000)
os.chdir('/flash')
print(open('lib/x.py').read(), os.getcwd(), os.stat('./whatever')[0] == 0x4000)
""",
        "['lib/x.py'] True",
        "1 /flash True",
    )
    assert device.flash.joinpath("lib/x.py").read_text() == "1"


def test_flash_has_two_descriptors(device):
    check(
        device,
        """
a = open('/flash/a', 'w'); b = open('/flash/b', 'w')
"""
        + errors("open('/flash/c', 'w')")
        + """
a.close()
open('/flash/c', 'w').close()
a = open('/flash/a', 'r'); a = None
"""
        + errors("open('/flash/c', 'r')")
        + """
import gc; gc.collect()
print(open('/flash/c').read() == '')
""",
        "2",
        "2",
        "True",
    )


def test_flash_is_small(device):
    source = """
    f = open('/flash/big', 'wb')
    n = 0
    block = bytes(4096)
    try:
        while True:
            n += f.write(block)
    except OSError as e:
        print(n, e.args[0])
    f.close()
    import os
    print(os.statvfs('/flash')[:5])
    os.remove('/flash/big')
    print(os.statvfs('/flash')[:5])
    """
    assert device.run("import os\n" + source.replace("\n    ", "\n")).lines == [
        "2666496 5",
        "(131072, 131072, 21, 0, 0)",
        "(131072, 131072, 21, 21, 21)",
    ]
    assert 2_666_496 // PAGE_DATA < USABLE_PAGES


def test_flash_names(device):
    check(
        device,
        "open('/flash/' + 'n' * 126, 'w').close()\n" + errors("open('/flash/' + 'n' * 127, 'w')"),
        "2",
    )


@pytest.mark.parametrize("name", ["/flash/../../out", "/flash/..", "/sd/../../out", "/sd/../flash/out"])
def test_nothing_outside_is_reached(device, tmp_path, name):
    device.run(f"import os\nf = open({name!r}, 'w')\nf.write('gone')\nf.close()\n")
    outside = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(device.card in path.parents or device.flash in path.parents for path in outside)
    assert not tmp_path.joinpath("out").exists() and not tmp_path.parent.joinpath("out").exists()


def test_links_of_the_host_lead_nowhere(device, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    device.flash.joinpath("link").symlink_to(secret)
    device.card.joinpath("link").symlink_to(secret)
    check(device, errors("open('/flash/link').read()") + errors("open('/sd/link').read()"), "2", "2")


def test_removing_a_missing_file_on_flash_prints_too(device):
    ran = device.run("import os\nos.remove('/flash/none')\n")
    assert ran.lines[0].startswith("[MaixPy]:SPIFFS Error Code")
    assert ran.last == "OSError: [Errno 2] ENOENT"


def test_a_flash_that_nobody_keeps_goes_without_a_word(recwarn):
    flash = FlashFiles(None)
    folder = flash.folder
    (folder / "main.py").write_text("print(1)\n")
    del flash
    gc.collect()
    assert not folder.exists() and not recwarn.list
