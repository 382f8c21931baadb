"""The page is one inert file: it asks nothing of anybody, names every finding, and shows no outcome that is hidden."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from orchestrator.report.model import Report
from orchestrator.report.page.render import policy, render
from support.report_sample import HOSTILE, VARIANTS, full, hostile

pytestmark = pytest.mark.xdist_group("page")  # drawn once, by one worker


class Page(HTMLParser):
    """Start tags with their attributes, and the text outside script and style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.raw: list[str] = []  # of script and style
        self.tables: dict[str, list[str]] = {}  # the words of each, by its name
        self._table = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "figure":
            self._table = (dict(attrs).get("id") or "").removeprefix("table-")
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "td" in self._open or "th" in self._open:
            self.tables.setdefault(self._table, []).append(data.strip())
        (self.raw if self._open and self._open[-1] in ("script", "style") else self.said).append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.said))

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module", params=sorted(VARIANTS))
def made(request: pytest.FixtureRequest) -> tuple[Report, str, Page]:
    return VARIANTS[request.param](), rendered(request.param), Page(rendered(request.param))


@functools.cache
def rendered(variant: str) -> str:
    """A page is drawn once for all tests that read it."""
    return render(VARIANTS[variant]())


def test_the_page_asks_nothing_of_anybody(made: tuple[Report, str, Page]) -> None:
    _, _, page = made
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster", "formaction"):
                assert value is not None and value.startswith(("#", "data:,")), f"<{tag} {name}={value!r}>"
            assert not name.startswith("on"), f"<{tag} {name}>"
            assert "url(" not in (value or "") or "url(#" in (value or ""), f"<{tag} {name}={value!r}>"
    styles = "".join(page.raw)
    assert "@import" not in styles and "@font-face" not in styles
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?(.)", styles))


def test_only_the_pages_own_script_may_run(made: tuple[Report, str, Page]) -> None:
    """The policy names the hash of the one script, so that nothing a completion says can be one."""
    _, html, page = made
    assert len(page.named("script")) == 1 and not page.named("img") and not page.named("iframe")
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    stated = next(m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert stated == policy(script)
    assert stated is not None and "default-src 'none'" in stated and "script-src 'sha256-" in stated
    first_of_head = [tag for tag, _ in page.tags][:4]
    assert first_of_head == ["html", "head", "meta", "meta"], "the policy stands before anything it is to govern"


def test_hostile_words_are_text() -> None:
    html = rendered("hostile")
    page = Page(html)
    assert HOSTILE not in html and page.text.count(HOSTILE) >= 15
    assert not page.named("img") and len(page.named("script")) == 1
    assert len(page.named("pre")) == len(hostile().examples)  # code and completion are the same there


def test_ids_are_unique_and_every_link_in_the_page_leads_somewhere(made: tuple[Report, str, Page]) -> None:
    _, _, page = made
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [v for _, a in page.tags for k, v in a.items() if k in ("href", "xlink:href") and v and v.startswith("#")]
    assert links and {link[1:] for link in links} <= set(ids)


def test_figures_take_all_their_colours_from_the_page(made: tuple[Report, str, Page]) -> None:
    """A colour of its own would stand out by night; matplotlib's style sheet would hold for the whole page."""
    _, html, page = made
    drawings = re.findall(r"<svg .*?</svg>", html, re.DOTALL)
    assert len(drawings) > 5
    assert {c for svg in drawings for c in re.findall(r"#[0-9a-fA-F]{3,6}\b(?=[\s;\"])", svg)} == set()
    used = {name for svg in drawings for name in re.findall(r"var\(--([\w-]+)\)", svg)}
    assert used <= set(re.findall(r"--([\w-]+):", "".join(page.raw)))
    assert len(page.named("style")) == 1


def test_the_same_report_makes_the_same_bytes_however_its_dicts_were_filled() -> None:
    def turned(value: dict) -> dict:
        return dict(reversed(value.items()))

    report = full()
    other = replace(
        full(),
        plan=turned(report.plan),
        protocol=turned(report.protocol),
        tried=turned(report.tried),
        runs=tuple(
            replace(row, hack_by_mode=turned(row.hack_by_mode), health=turned(row.health), rates=turned(row.rates))
            for row in report.runs
        ),
        ledger=tuple(turned(row) for row in report.ledger),
    )
    assert render(report) == rendered("full") == render(other)


def test_the_first_heading_is_the_headline_and_the_claim_follows(made: tuple[Report, str, Page]) -> None:
    report, _, page = made
    text, headline = page.text, re.sub(r"\s+", " ", report.headline)
    assert next(tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)) == "h1"
    assert text.index(headline) < text.index(re.sub(r"\s+", " ", report.claim.sentence), text.index("Claim"))


def test_everything_that_was_found_is_said(made: tuple[Report, str, Page]) -> None:
    report, _, page = made
    text = page.text
    for said in (
        *(c.text for c in report.claim.conditions),
        *(line for v in report.verdicts for line in (v.name, v.statement, v.outcome, *v.because, *v.would_decide)),
        *(part for f in report.findings for part in (f.run, f.text)),
        *(row.label for row in report.runs),
        *(row.run_id for row in report.runs),
        *(part for e in report.examples for part in (e.why, e.problem_id)),
        *(str(row["reason"]) for row in report.ledger),
        *(str(gate["name"]) for gate in report.gates),
        report.plan["hash"],
        report.protocol["hash"],
    ):
        assert re.sub(r"\s+", " ", said).strip() in text, said


def test_conditions_are_told_in_words_and_not_by_colour_alone() -> None:
    text = Page(rendered("unfinished")).text
    assert "holds : the plan was not amended" in text and "not known yet : three seeds" in text


def test_what_is_hidden_is_not_on_the_page() -> None:
    """Outcomes of a blinded run: neither its rates nor those of its arm."""
    page = Page(rendered("unfinished"))
    assert "Hidden until the runs of H1, H2, H3, control have ended" in page.text
    for name in ("runs", "arms", "contrasts-hack", "contrasts-pass"):
        words = page.tables[name]
        assert words.count("hidden") > 20 and not [w for w in words if re.fullmatch(r"[+\u2212]?\d+\.\d+", w)]
    assert any(re.fullmatch(r"0\.\d+", w) for w in page.tables["health"]), "health is shown"


def test_a_spread_of_one_run_is_blank() -> None:
    assert "blank (n = 1)" in Page(rendered("full")).text
    alone = Page(rendered("one_run")).text
    assert "blank (n = 1)" in alone and "The plan has no contrast" in alone


def test_numbers_stand_right_and_sort_by_their_value() -> None:
    page = Page(rendered("full"))
    numeric = [a for a in page.named("td") if "num" in (a["class"] or "")]
    assert len(numeric) > 300
    assert all(re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", a["data-sort"] or "") for a in numeric if "data-sort" in a)
