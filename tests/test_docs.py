"""docs/ is true: made pages are as the source makes them, links lead somewhere, programs run, nothing is left out."""

from __future__ import annotations

import importlib.util
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from maixpix.commands import TABLE
from rig.board_process import ENGINES, FIRMWARE
from virtualboard import Bench

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])


@pytest.fixture(scope="module")
def made():
    spec = importlib.util.spec_from_file_location("docs_made", DOCS / "made.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(made):
    return made.pages()


@pytest.mark.parametrize("name", ["settings.md", "errors.md", "api.md", "faults.md", "commands.md", "environment.md"])
def test_a_made_page_is_as_the_source_makes_it(name, pages, made):
    present = (DOCS / name).read_text("utf-8")
    assert present == pages[name], f"docs/{name} is not what the source says: run `{made.COMMAND}`"
    assert made.NO_TEXT not in present, f"docs/{name}: add the missing text to docs/texts.toml, run `{made.COMMAND}`"


def test_the_tables_of_readme_are_the_figures_that_were_measured(made):
    present = made.README.read_text("utf-8")
    figures = made.figures()
    assert made.readme(present, figures) == present, f"docs/figures.json has other figures: run `{made.COMMAND}`"
    assert re.findall(r"<!-- figures: (\w+) -->", present) == list(figures)
    for name, table in figures.items():
        shown = present.split(f"<!-- figures: {name} -->")[1].split("<!-- end of figures -->")[0]
        assert shown.count("\n| ") >= 5 and table["rounds"] >= 3
    figures["fetch"]["rows"][1]["shares"][0] = 0.1234
    assert "| 12.3% |" in made.readme(present, figures)


def test_the_made_pages_leave_nothing_out(made, pages):
    """Counted in another way than the pages are made."""
    config = (ROOT / "firmware/pix/config.py").read_text()
    keys = config[config.index("KEYS = {") : config.index("\n}\n")]
    settings = re.findall(r'^    "(\w+)":', keys, re.MULTILINE)
    errors = (ROOT / "firmware/pix/errors.py").read_text().split('TABLE = """')[1].split('"""')[0]
    codes = [record.split("\n")[0] for record in errors.strip().split("\n\n")]
    assert len(settings) > 20 and len(codes) > 40
    assert [name for name in settings if f"| `{name}` |" not in pages["settings.md"]] == []
    assert [code for code in codes if f"`{code}` |" not in pages["errors.md"]] == []
    assert [name for name in TABLE if f"\n## maixpix {name}\n" not in pages["commands.md"]] == []
    for path in (ROOT / "firmware/pix").glob("*.py"):
        names = re.findall(r"^(?:def|class) ([a-zA-Z]\w*)", path.read_text(), re.MULTILINE)
        package = "pix" if path.stem == "__init__" else f"pix.{path.stem}"
        assert [name for name in names if f"`{package}.{name}(" not in pages["api.md"]] == [], package
    used = {
        found for path in (ROOT / "tools").rglob("*.py") for found in re.findall(r"MAIXPIX_[A-Z_]+", path.read_text())
    }
    assert [name for name in used - {"MAIXPIX_COMPLETE"} if f"`{name}`" not in pages["environment.md"]] == []


def test_every_public_name_of_pix_has_its_words(pages, made):
    entries = re.split(r"\n(?=#{2,4} )", pages["api.md"])[1:]
    bare = [entry.split("\n")[0] for entry in entries if "\n\n    " not in entry]
    assert bare == [], f"say in its first comment what it is, then run `{made.COMMAND}`"
    assert len(made.public_names()) > 100


def slugs(text: str) -> set[str]:
    """Anchors of a page: those of its headings as GitHub and mkdocs make them, and its own."""
    found = set(re.findall(r'<a id="([^"]+)"', text))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    text = page.read_text("utf-8")
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in slugs(there.read_text("utf-8"))):
            broken.append(target)
    assert broken == []


def test_every_page_is_in_the_site_and_in_the_index():
    site, index = (ROOT / "mkdocs.yml").read_text(), (DOCS / "index.md").read_text()
    names = [path.name for path in DOCS.glob("*.md")]
    assert [name for name in names if name not in site] == []
    assert [name for name in names if f"({name})" not in index and name != "index.md"] == []


def blocks() -> list[tuple[str, str]]:
    """(where, program) of every block of Python that a page says runs."""
    found = []
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text("utf-8")
        for match in re.finditer(r"<!-- runs -->\n```python\n(.*?)```", text, re.DOTALL):
            found.append((f"{page.name}:{text[: match.start()].count(chr(10)) + 1}", match[1]))
    return found


def served(request):
    if request.target == "/weather.json":
        return 200, {"Content-Type": "application/json"}, b'{"sky": "blue"}'
    out = io.BytesIO()
    with Image.open(ROOT / "assets" / "pictures" / "chelsea.jpg") as picture:
        picture.resize((300, 200)).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("where", "program"), blocks(), ids=[where for where, _ in blocks()])
@pytest.mark.timeout(3600)
def test_programs_of_the_pages_run(where, program, engine, tmp_path, board_card):
    bench = Bench(tmp_path, card=board_card(tmp_path / "files"), firmware=FIRMWARE if engine == "k210" else None)
    bench.serve(served)
    heard = bench.listen(3456)
    done = bench.run(program)
    assert done.ok, done.output + done.traceback
    said = done.output.splitlines()[-1]
    if "shown" in program:
        assert re.fullmatch(r"shown \d+ bytes", said) and len(bench.panel.image().getcolors(1 << 17)) > 100
    elif "json" in program:
        assert said == "blue"
    elif "3456" in program:
        assert said == f"sent {len(heard.data)} bytes" and heard.data[:2] == b"\xff\xd8"


def test_at_least_these_run():
    assert len(blocks()) >= 4


def test_a_program_that_is_shown_is_the_file_that_is_tested():
    assert (DOCS / "examples" / "model.py").read_text() in (DOCS / "own-apps.md").read_text()
