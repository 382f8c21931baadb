"""The page in a real Chromium: silent, asking nobody, sortable, answering to a mouse, a finger and a keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.report.page.render import render
from support.browser import MISSING, Chromium, executable
from support.report_sample import VARIANTS, full

pytestmark = pytest.mark.skipif(executable() is None, reason=MISSING)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name, variant in VARIANTS.items():
        made[name] = folder / f"{name}.html"
        made[name].write_text(render(variant()))
    return made


@pytest.fixture
def browser() -> Iterator[Chromium]:
    with Chromium() as started:
        started.look()
        yield started


def middle(browser: Chromium, element: str) -> tuple[float, float]:
    """Of an expression's element, after it was scrolled into sight."""
    x, y = browser.run(
        f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center', behavior: 'instant'}});"
        "const b = e.getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2] })()"
    )
    return x, y


def column(browser: Chromium, table: str, place: int) -> list[str]:
    script = f"[...document.querySelectorAll('#table-{table} tbody tr')].map(r => r.cells[{place}].innerText)"
    words: list[str] = browser.run(script)
    return words


def said(browser: Chromium) -> str:
    words: str = browser.run("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent")
    return words


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_the_page_is_silent_asks_nobody_and_fits_a_phone(name: str, pages: dict[str, Path], browser: Chromium) -> None:
    for width, dark, touch in ((1280, False, False), (1280, True, False), (360, False, True)):
        browser.look(width, 800, dark, touch)
        browser.open(pages[name])
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert browser.complaints() == []
    assert set(browser.requests()) == {pages[name].as_uri()}
    assert not [event for event in browser.events if event.get("method") == "Page.javascriptDialogOpening"]


def test_the_policy_stops_what_would_get_past_the_escaping(pages: dict[str, Path], browser: Chromium) -> None:
    browser.open(pages["full"])
    browser.run(
        "document.body.insertAdjacentHTML('beforeend',"
        '\'<img src="data:," onerror="window.broken = 1"><a id=j href="javascript:window.broken = 1">j</a>\')'
    )
    browser.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.broken = 1';"
        "document.body.append(s); document.getElementById('j').click() })()"
    )
    refused = browser.run("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')")
    assert refused == "refused" and browser.run("typeof window.broken") == "undefined"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())
    assert set(browser.requests()) <= {pages["full"].as_uri(), "data:,", "http://127.0.0.1:9/"}


def test_tables_sort_by_mouse_and_keyboard_and_blanks_stand_last(pages: dict[str, Path], browser: Chromium) -> None:
    browser.open(pages["full"])
    heads: list[str] = browser.run("[...document.querySelectorAll('#table-arms thead th')].map(h => h.textContent)")
    hack, sd = (heads.index(name) for name in ("hack", "sd"))
    shown = [arm.mean["hack_rate"] for arm in full().arms]
    falling = [f"{100 * rate:.1f}" for rate in sorted((r for r in shown if r is not None), reverse=True)]
    button = f"document.querySelectorAll('#table-arms thead th')[{hack}].querySelector('button')"
    browser.click(*middle(browser, button))
    assert column(browser, "arms", hack) == falling
    state = f"document.querySelectorAll('#table-arms thead th')[{hack}].getAttribute('aria-sort')"
    assert browser.run(state) == "descending"
    browser.run(f"{button}.focus()")
    browser.key("Enter", "\r")
    assert column(browser, "arms", hack) == falling[::-1] and browser.run(state) == "ascending"
    for _ in range(2):
        browser.run(f"document.querySelectorAll('#table-arms thead th')[{sd}].querySelector('button').click()")
        assert column(browser, "arms", sd)[3:] == ["blank (n = 1)"] * 6
    assert browser.run(state) == "none" and browser.complaints() == []


POINT = "[...document.querySelectorAll('#figure-scatter .tip')].find(g => g.words.startsWith('projected-raw-s41'))"


def test_pointing_at_a_run_says_its_name_and_its_rates(pages: dict[str, Path], browser: Chromium) -> None:
    browser.open(pages["full"])
    run = next(row for row in full().runs if row.label == "projected-raw")
    rates = [100 * (run.rates[name] or 0.0) for name in ("hack_rate", "pass_rate")]
    expected = re.compile(rf"projected-raw-s41: hack {rates[0]:.1f} % \(.*\), pass {rates[1]:.1f} % \(.*\)")
    spot = middle(browser, POINT)
    browser.move(*spot)
    assert expected.fullmatch(said(browser))
    browser.move(2, 2)
    assert said(browser) == ""
    browser("Emulation.setTouchEmulationEnabled", enabled=True)
    x, y = spot
    browser("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x + 9, "y": y + 9}])  # a blunt finger
    assert expected.fullmatch(said(browser))


def test_pointing_at_a_curve_says_the_value_of_that_step(pages: dict[str, Path], browser: Chromium) -> None:
    """Against the data: held-out evaluations are drawn as they are."""
    browser.open(pages["full"])
    curve = next(curve for curve in full().curves if curve.label == "rebound_mul")
    place = 12
    step, rate = curve.eval_steps[place], curve.evals["hack_rate"][place]
    assert rate is not None
    browser.run("document.querySelector('#figure-curves').scrollIntoView({behavior: 'instant'})")
    x, y = browser.run(
        "(() => { const svg = document.querySelectorAll('#figure-curves .panel svg')[2];"
        f"const g = [...svg.querySelectorAll('.tip')].find(g => g.dataset.name === '{curve.run}: hack_rate');"
        "const n = g.querySelector('path[id]').getAttribute('d').match(/[\\d.]+/g).map(Number);"
        f"const p = new DOMPoint(n[{2 * place}], n[{2 * place + 1}]).matrixTransform(svg.getScreenCTM());"
        "return [p.x, p.y] })()"
    )
    browser.move(x, y)
    found = re.fullmatch(r"(.*): hack_rate ([\d.]+) % at step (\d+)", said(browser))
    assert found and found[1].startswith("rebound_mul") and int(found[3]) == step
    assert float(found[2]) == pytest.approx(100 * rate, abs=1.0)  # three seeds lie that close together here


def test_a_finger_beside_a_line_means_that_line(pages: dict[str, Path], browser: Chromium) -> None:
    browser.look(360, 740, touch=True)
    browser.open(pages["one_run"])
    browser("Emulation.setTouchEmulationEnabled", enabled=True)
    x, y = middle(browser, "document.querySelector('#figure-curves .panel svg .tip path[id]')")
    low = browser.run(
        "(() => { const svg = document.querySelector('#figure-curves .panel svg'), m = svg.getScreenCTM();"
        f"const at = new DOMPoint({x}, {y}).matrixTransform(m.inverse());"
        "const [a, b] = corner(svg.querySelector('.tip'), at.x); return new DOMPoint(a, b).matrixTransform(m).y })()"
    )
    browser("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": low + 12}])
    assert re.fullmatch(r"vanilla-s41: hack_s [\d.]+ % at step \d+", said(browser))
    browser("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert said(browser), "it stays when the finger is lifted"


def test_the_keyboard_walks_through_a_figure(pages: dict[str, Path], browser: Chromium) -> None:
    browser.open(pages["full"])
    browser.run("document.querySelector('#figure-scatter .panel svg').focus()")
    heard = []
    for _ in range(3):
        browser.key("ArrowRight")
        heard.append(said(browser))
    assert [words.split(":")[0] for words in heard] == ["vanilla-s41", "vanilla-s42", "vanilla-s43"]
    browser.key("ArrowLeft")
    assert said(browser).startswith("vanilla-s42")


def test_an_arm_of_the_key_is_brought_out_until_it_is_pressed_again(pages: dict[str, Path], browser: Chromium) -> None:
    browser.open(pages["full"])
    faint = "[...new Set([...document.querySelectorAll('.faint')].map(g => g.dataset.arm))].sort().join()"
    spot = middle(browser, "document.querySelectorAll('#figure-curves .key button')[1]")
    browser.click(*spot)
    browser.move(2, 2)
    assert browser.run(faint) == "0,2,3,4,5,6,7,8"
    browser.click(*spot)
    browser.move(2, 2)
    assert browser.run(faint) == ""


def colours(browser: Chromium) -> tuple[float, float, float]:
    """Luminance of paper, ink and the quietest words (WCAG 2.1)."""
    script = (
        "(() => { const s = getComputedStyle(document.documentElement);"
        "return ['--paper', '--ink', '--quiet'].map(n => s.getPropertyValue(n).trim()) })()"
    )
    found: list[Any] = browser.run(script)
    light = []
    for value in found:
        channels = [int(value[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        light.append(sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))
    return light[0], light[1], light[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_it_is_light_by_day_dark_by_night_and_white_on_paper(pages: dict[str, Path], browser: Chromium) -> None:
    browser.open(pages["full"])
    for dark in (False, True):
        browser.look(dark=dark)
        paper, ink, quiet = colours(browser)
        assert (paper < 0.05) == dark and contrast(paper, ink) > 12 and contrast(paper, quiet) > 6
        drawn = browser.run("getComputedStyle(document.querySelector('#figure-scatter text')).fill")
        assert (drawn == "rgb(26, 26, 26)") != dark, "the figures' letters turn with the page"
    browser("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert colours(browser)[0] == pytest.approx(1.0)


def test_without_its_script_everything_can_be_read(pages: dict[str, Path], browser: Chromium) -> None:
    browser("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(pages["full"])
    tree = browser("DOMSnapshot.captureSnapshot", computedStyles=[])
    strings = set(tree["strings"])
    assert "BUTTON" not in strings, "the script did not run"
    words = " ".join(strings)
    for expected in ("Verdicts", "not decided", "vanilla-s43-", "Contrasts seed by seed, %", "How to read this"):
        assert expected in words
    assert any(re.match(r"vanilla-s41: hack [\d.]+ %", line) for line in strings), "a title says run and value"
