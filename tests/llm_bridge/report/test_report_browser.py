"""The report in headless Chromium: nothing logged, figures drawn, tables sort, no request leaves, phone, dark mode."""

import re

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("statsmodels")

from synthetic_study import make_study
from web_driver import CHROMEDRIVER, CHROMIUM, browser

from llm_bridge.report import write_report

pytestmark = pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="chromium and chromedriver are not installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    directory = make_study(
        tmp_path_factory.mktemp("study"), tasks=("localise", "paired"), methods=("zero-shot", "qlora")
    )
    address = write_report(directory).as_uri()
    with browser() as session:
        session.address = address
        yield session


@pytest.fixture(autouse=True)
def reset(page):
    page.view(1280, 900)
    page.open(page.address)


def luminance(colour):
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2.1)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_nothing_is_logged_and_no_request_leaves_the_page(page):
    page.run("for (const button of document.querySelectorAll('thead button, summary')) button.click()")
    assert page.console() == []
    asked = set(page.requests())
    assert asked and all(url.startswith("data:") or url.endswith("/report.html") for url in asked)
    assert page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)") == []


def test_the_page_could_not_reach_out_if_it_wanted(page):
    """Its content policy refuses an image, a script and a fetch."""
    page.run(
        "window.hits = []; const nowhere = 'http://127.0.0.1:9/x';"
        "document.addEventListener('securitypolicyviolation', (event) => window.hits.push(event.effectiveDirective));"
        "for (const tag of ['img', 'script']) {"
        "  const node = document.createElement(tag); node.src = nowhere; document.body.append(node); }"
        "fetch(nowhere).catch(() => 0);"
    )
    for _ in range(50):
        hits = page.run("return window.hits")
        if len(hits) >= 3:
            break
    assert {"img-src", "script-src-elem", "connect-src"} <= set(hits)
    page.console()  # the refusals were logged: take them out


def test_figures_are_drawn_in_the_colours_of_the_scheme(page):
    script = (
        "return [...document.querySelectorAll('figure svg')].map((svg) => {"
        "  const box = svg.getBoundingClientRect(), line = svg.querySelector('path[style*=\"--m\"]');"
        "  const drawn = getComputedStyle(line), colour = drawn.stroke === 'none' ? drawn.fill : drawn.stroke;"
        "  return [box.width, box.height, svg.querySelectorAll('path').length, colour,"
        "    getComputedStyle(svg.querySelector('text')).fill,"
        "    getComputedStyle(svg.closest('figure')).backgroundColor]; })"
    )
    figures = page.run(script)
    assert len(figures) >= 8
    for width, height, paths, stroke, ink, card in figures:
        assert width > 300 and height > 200 and paths > 20
        assert stroke.startswith("rgb")
        assert contrast(ink, card) > 4.5 and contrast(stroke, card) > 3
    page.view(1280, 900, dark=True)
    dark = page.run(script)
    for (*_, bright_stroke, bright_ink, bright_card), (*_, stroke, ink, card) in zip(figures, dark, strict=True):
        assert luminance(card) < 0.05 < luminance(bright_card) and luminance(ink) > luminance(bright_ink)
        assert stroke != bright_stroke
        assert contrast(ink, card) > 4.5 and contrast(stroke, card) > 3


@pytest.mark.parametrize("dark", [False, True])
def test_words_can_be_read_in_both_schemes(page, dark):
    page.view(1280, 900, dark=dark)
    pairs = page.run(
        "const behind = (node) => { for (; node; node = node.parentElement) {"
        "  const colour = getComputedStyle(node).backgroundColor; if (!/, 0\\)$/.test(colour)) return colour; } };"
        "return [...document.querySelectorAll('p, a, td, th, dt, dd, li, h1, h2, h3, mark, summary, .verdict')]"
        ".map((node) => [node.tagName, node.className, getComputedStyle(node).color, behind(node)])"
    )
    assert len(pairs) > 100
    poor = {(tag, name) for tag, name, ink, ground in pairs if contrast(ink, ground) < 4.5}
    assert poor == set()


def column(page, head):
    return page.run(
        "const table = [...document.querySelectorAll('table.sortable')].at(-1);"
        "const heads = [...table.tHead.rows[0].cells];"
        "const at = heads.findIndex((cell) => cell.textContent.trim() === arguments[0]);"
        "return [heads[at].getAttribute('aria-sort'), [...table.tBodies[0].rows].map((row) =>"
        "row.cells[at].dataset.value ?? row.cells[at].textContent.trim())]",
        head,
    )


def focus(page, head):
    page.run(
        "[...[...document.querySelectorAll('table.sortable')].at(-1).querySelectorAll('thead button')]"
        ".find((button) => button.textContent.trim() === arguments[0]).focus()",
        head,
    )


def test_tables_sort_by_keyboard_numbers_as_numbers_empty_last(page):
    assert column(page, "F1")[0] == "none"
    unsorted = column(page, "F1")[1]
    focus(page, "F1")
    page.press("\ue007")  # Enter
    state, values = column(page, "F1")
    assert state == "ascending" and values == sorted(unsorted, key=float)
    page.press(" ")
    state, values = column(page, "F1")
    assert state == "descending" and values == sorted(unsorted, key=float, reverse=True)
    focus(page, "SF")
    page.press("\ue007")
    state, values = column(page, "SF")
    numbers = [value for value in values if value != ""]
    assert state == "ascending" and "" in values and values[: len(numbers)] == sorted(numbers, key=int)
    assert column(page, "F1")[0] == "none"  # one column at a time
    focus(page, "Verdict")
    page.press("\ue007")
    assert column(page, "Verdict")[1] == sorted(column(page, "Verdict")[1])


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_overflows_a_narrow_window(page, width):
    page.view(width, 800)
    assert page.run("return document.documentElement.scrollWidth") <= width
    beyond = page.run(
        "return [...document.querySelectorAll('main *, header *')].filter((node) => !node.closest('.scroll, pre, svg')"
        " && node.getBoundingClientRect().right > innerWidth + 1).map((node) => node.tagName + '.' + node.className)"
    )
    assert beyond == []


def test_controls_are_read_on_a_phone_without_scrolling_sideways(page):
    """Cards: every line of a control within the window, under the head of its column; a table again where it fits."""
    page.view(390, 844)
    page.run("for (const details of document.querySelectorAll('#controls details')) details.open = true")
    script = (
        "return [...document.querySelectorAll('#controls td')].filter((cell) => cell.offsetHeight)"
        ".map((cell) => [cell.getBoundingClientRect().right, getComputedStyle(cell, '::before').content])"
    )
    cells = page.run(script)
    assert len(cells) > 30 and all(right <= 390 for right, _ in cells)
    assert {'"Control"', '"Value"', '"Should be"', '"Is it?"'} <= {head for _, head in cells}
    wide = "return [...document.querySelectorAll('#controls .scroll')].every((e) => e.scrollWidth <= e.clientWidth + 1)"
    assert page.run(wide)
    page.view(1280, 900)
    assert page.run(wide)
    assert {head for _, head in page.run(script)} == {"none"}


def test_everything_can_be_reached_by_tab(page):
    """Skip link first; then every link, head, scrolling region and summary takes the focus in order."""
    reached = []
    for _ in range(80):
        page.press("\ue004")  # Tab
        reached.append(
            page.run("const e = document.activeElement; return e.tagName + '.' + e.className + '.' + e.role")
        )
        if reached[-1].startswith("BODY"):
            break
    assert reached[0].startswith("A.skip")
    kinds = " ".join(reached)
    assert kinds.count("BUTTON") >= 15 and kinds.count("SUMMARY") >= 3 and "region" in kinds and "PRE" in kinds
