"""The page's tables: what stands in each cell, and by what a click on the head sorts it.

A cell without a figure says why in `note`: not measured, blank at n = 1, or hidden until its contrast is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.report.model import LAST_STEP, RATES, ArmRow, Comparison, Contrast, Report, RunRow
from orchestrator.report.page.formatting import (
    RULE,
    anything,
    digits3,
    duration,
    interval,
    moment,
    number,
    p_value,
    percent,
    points,
)

RATE_WORDS = {
    "hack_rate": "hack",
    "pass_rate": "pass",
    "hinted_pass_rate": "hinted",
    "empty_test_rate": "empty",
    "compile_rate": "compiles",
}
ONE = "blank (n = 1)"
HIDDEN = "hidden"


@dataclass(frozen=True)
class Cell:
    text: str
    sort: float | str | None = None  # None: stands last, whatever the direction
    note: str = ""
    muted: bool = False


@dataclass(frozen=True)
class Head:
    text: str
    note: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    name: str  # unique on the page
    caption: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]  # the first cell of a row is its head
    notes: tuple[str, ...] = ()


def text(words: Any, note: str = "") -> Cell:
    return Cell(str(words) if words not in ("", None) else RULE, str(words).lower() if words else None, note)


def figure(value: float | None, printed: str, blank: str = "not measured") -> Cell:
    """`printed` is value in words; where there is none, the rule and why."""
    if value is None:
        return Cell(blank, None, "", True) if blank in (ONE, HIDDEN) else Cell(RULE, None, blank, True)
    return Cell(printed, value)


def count(value: int | None) -> Cell:
    return figure(value, f"{value:,}".replace(",", "\u202f") if value is not None else "")


def words(*names: str) -> tuple[Head, ...]:
    return tuple(Head(name, numeric=False) for name in names)


def runs_table(report: Report) -> Table:
    rates = ("hack_rate", "pass_rate", "hinted_pass_rate", "empty_test_rate", "compile_rate")
    heads = (
        *words("run", "state"),
        *(Head(RATE_WORDS[name], "% of held-out completions") for name in rates[:2]),
        Head("hack, 95 %", numeric=True),
        Head("pass, 95 %", numeric=True),
        *(Head(RATE_WORDS[name], "% of held-out completions") for name in rates[2:]),
        Head("n hinted", "completions behind the hinted rates"),
        Head("n pass", "completions behind the pass rate"),
        Head("problems"),
        Head("takeoff", "first step with > 50 % tests that prove nothing"),
        Head("steps"),
    )
    rows = []
    for row in report.runs:
        blank = HIDDEN if row.blinded else "not measured"
        rate = {name: figure(value := row.rates.get(name), percent(value), blank) for name in rates}
        bounds = {name: row.bounds.get(name) for name in ("hack_rate", "pass_rate")}
        intervals = [figure(b[0] if b else None, interval(b, 100, signed=False), blank) for b in bounds.values()]
        rows.append(
            (
                text(f"{row.label}-s{row.seed}", row.run_id),
                text(state_of(row), row.note),
                rate["hack_rate"],
                rate["pass_rate"],
                *intervals,
                *(rate[name] for name in rates[2:]),
                count(row.n_hinted),
                count(row.n_pass),
                count(row.n_problems),
                takeoff(row),
                Cell(f"{row.steps}/{row.steps_planned}", row.steps),
            )
        )
    notes = [
        "hack, hinted, empty: prompts with the loophole. pass: prompts without it. compiles: all. "
        "Intervals are the run's own, over its completions."
    ]
    return Table("runs", "Arm x seed: every planned run, % of held-out completions", heads, tuple(rows), tuple(notes))


def state_of(row: RunRow) -> str:
    """Whether it counts, in words: a reader must not need a colour for it."""
    if row.counted:
        return "counted"
    if row.collapsed and "collapsed" not in row.why_not:
        return f"collapsed; not counted: {row.why_not}"
    return f"not counted: {row.why_not or row.state}"


def takeoff(row: RunRow) -> Cell:
    if row.blinded:
        return Cell(HIDDEN, None, "", True)
    if row.collapsed:
        return Cell("collapsed", None)
    if row.rates.get("hack_rate") is None:
        return Cell(RULE, None, "not finished", True)
    return Cell("never", None) if row.takeoff_step is None else Cell(str(row.takeoff_step), row.takeoff_step)


def arms_table(report: Report) -> Table:
    rates = ("hack_rate", "pass_rate", "hinted_pass_rate", "empty_test_rate", "compile_rate")
    heads = (
        *words("arm", "role"),
        Head("n", "runs counted / planned"),
        *(head for name in rates[:2] for head in (Head(RATE_WORDS[name]), Head("sd", "over seeds, points"))),
        *(Head(RATE_WORDS[name]) for name in rates[2:]),
        Head("hack, all in", "mean with excluded runs counted too"),
        Head("pass, all in", "mean with excluded runs counted too"),
        Head("n, all in", "runs with excluded ones"),
    )
    hidden = {row.label for row in report.runs if row.blinded}
    rows = [_arm(arm, HIDDEN if arm.label in hidden and arm.n == 0 else "no counted run") for arm in report.arms]
    notes = (
        "Means over counted runs, %; sd over seeds, in points, blank where there is one. "
        "All in: nothing that finished is left out.",
    )
    return Table("arms", "Means by arm", heads, tuple(rows), notes)


def _arm(arm: ArmRow, blank: str) -> tuple[Cell, ...]:
    def mean(name: str) -> Cell:
        return figure(arm.mean.get(name), percent(arm.mean.get(name)), blank)

    def sd(name: str) -> Cell:
        return figure(arm.sd.get(name), percent(arm.sd.get(name)), ONE if arm.n == 1 else blank)

    whole = arm.mean_with_excluded
    return (
        text(arm.label),
        text(arm.role),
        Cell(f"{arm.n}/{arm.n_planned}", arm.n),
        mean("hack_rate"),
        sd("hack_rate"),
        mean("pass_rate"),
        sd("pass_rate"),
        mean("hinted_pass_rate"),
        mean("empty_test_rate"),
        mean("compile_rate"),
        figure(whole.get("hack_rate"), percent(whole.get("hack_rate")), blank),
        figure(whole.get("pass_rate"), percent(whole.get("pass_rate")), blank),
        Cell(str(arm.n_with_excluded), arm.n_with_excluded),
    )


def contrast_tables(report: Report) -> tuple[Table, ...]:
    """Over problems: of the hack rate and of the pass rate. Over seeds: of both."""
    over_problems = (
        *words("contrast", "baseline"),
        Head("seeds", "counted in both", numeric=False),
        Head("difference", "treatment minus baseline, points"),
        Head("95 %", "bootstrap over problems"),
        Head("n", "problems"),
        Head("t", "paired over problems"),
        Head("p"),
        Head("Holm p", "over the plan's registered contrasts"),
        Head("d_z", "mean of problem differences over their standard deviation"),
    )
    equivalence = (
        Head("band", "points"),
        Head("p (equivalence)", "two one-sided tests against the band"),
        Head("equivalent", numeric=False),
    )
    whole = Head("all in", "difference with excluded runs counted too")
    over_seeds = (
        *words("contrast", "baseline"),
        Head("n", "seeds that both arms have"),
        *(
            Head(f"{rate} {what}", note)
            for rate in ("hack", "pass")
            for what, note in (
                ("sd", "of the differences by seed, points"),
                ("sem", "points"),
                ("t", "paired over seeds"),
                ("p", "paired over seeds"),
            )
        ),
    )
    hack = [(*_over_problems(c, c.hack), _without(c, "hack")) for c in report.contrasts]
    passing = [(*_over_problems(c, c.passing), *_equivalence(c), _without(c, "pass")) for c in report.contrasts]
    unit = (
        "Unit: a problem's mean over the seeds that both arms have and all samples. Points, treatment minus baseline."
    )
    return (
        Table("contrasts-hack", "Contrasts over problems: hack rate", (*over_problems, whole), tuple(hack), (unit,)),
        Table(
            "contrasts-pass",
            "Contrasts over problems: pass rate",
            (*over_problems, *equivalence, whole),
            tuple(passing),
            (unit,),
        ),
        Table(
            "contrasts-seeds",
            "Contrasts over seeds, points",
            over_seeds,
            tuple(_over_seeds(c) for c in report.contrasts),
            ("Blank where there is one seed: nothing is known of how another would come out.",),
        ),
    )


def _blank(contrast: Contrast) -> str:
    return HIDDEN if contrast.blinded else "no seed that both arms have" if not contrast.seeds else "not defined"


def _over_problems(contrast: Contrast, c: Comparison | None) -> tuple[Cell, ...]:
    blank = _blank(contrast)
    bounds = c.bounds if c else None

    def of(name: str, printed: Callable[[float | None], str]) -> Cell:
        value = getattr(c, name) if c else None
        return figure(value, printed(value), blank)

    return (
        text(f"{contrast.purpose}: {contrast.treatment}"),
        text(contrast.baseline),
        Cell(", ".join(map(str, contrast.seeds)) or "none", len(contrast.seeds), "; ".join(contrast.missing)),
        of("difference", points),
        figure(bounds[0] if bounds else None, interval(bounds), blank),
        figure(c.n_problems if c else None, str(c.n_problems) if c else "", blank),
        of("t", in_hundredths),
        of("p", p_value),
        of("p_holm", p_value),
        of("d_z", in_hundredths),
    )


def _over_seeds(contrast: Contrast) -> tuple[Cell, ...]:
    n = len(contrast.seeds)
    blank = ONE if n == 1 and not contrast.blinded else _blank(contrast)
    cells = [text(f"{contrast.purpose}: {contrast.treatment}"), text(contrast.baseline), Cell(str(n), n)]
    for c in (contrast.hack, contrast.passing):
        for name, printed in (
            ("seed_sd", number),
            ("seed_sem", number),
            ("seed_t", in_hundredths),
            ("seed_p", p_value),
        ):
            value = getattr(c, name) if c else None
            cells.append(figure(value, printed(value), blank))
    return tuple(cells)


def in_hundredths(value: float | None) -> str:
    return number(value, 2)


def _equivalence(contrast: Contrast) -> tuple[Cell, ...]:
    c = contrast.passing
    blank = HIDDEN if contrast.blinded else "not defined"
    band, p = (c.band, c.p_equivalent) if c else (None, None)
    said = None if c is None or c.equivalent is None else c.equivalent
    return (
        figure(band, f"\u00b1{band:g}" if band is not None else "", blank),
        figure(p, p_value(p), blank),
        Cell(RULE, None, blank, True) if said is None else Cell("yes" if said else "not shown", float(said)),
    )


def _without(contrast: Contrast, name: str) -> Cell:
    value = contrast.with_excluded.get(name)
    return figure(value, points(value), HIDDEN if contrast.blinded else "nothing is left out")


def seed_table(report: Report) -> Table:
    """Every contrast seed by seed: what the treatment and the baseline of one seed did beside each other."""
    columns = [f"{rate}_{what}" for rate in ("hack", "pass") for what in ("treatment", "baseline", "difference")]
    heads = (
        *words("contrast", "baseline"),
        Head("seed"),
        *(Head(name.replace("_", ", "), "points" if name.endswith("difference") else "%") for name in columns),
    )
    rows = []
    for contrast in report.contrasts:
        for row in contrast.by_seed:
            cells = [text(f"{contrast.purpose}: {contrast.treatment}"), text(contrast.baseline)]
            cells.append(Cell(str(row["seed"]), row["seed"]))
            for name in columns:
                value = row.get(name)
                cells.append(figure(value, points(value) if name.endswith("difference") else number(value)))
            rows.append(tuple(cells))
    missing = dict.fromkeys(what for contrast in report.contrasts for what in contrast.missing)
    notes = (f"Not counted: {'; '.join(missing)}.",) if missing else ()
    return Table("seeds", "Contrasts seed by seed, %", heads, tuple(rows), notes)


def health_table(report: Report) -> Table:
    names = [name for name in LAST_STEP if any(row.health.get(name) is not None for row in report.runs)]
    heads = (*words("run", "state"), Head("steps"), *(Head(name) for name in names))
    rows = [
        (
            text(f"{row.label}-s{row.seed}", row.run_id),
            text(row.state, row.note),
            Cell(f"{row.steps}/{row.steps_planned}", row.steps),
            *(figure(row.health.get(name), digits3(row.health.get(name))) for name in names),
        )
        for row in report.runs
    ]
    return Table("health", "Health at the last step", heads, tuple(rows))


def as_trained_table(report: Report) -> Table | None:
    """Where an arm has a quarantine: rates with it, beside those without it that count."""
    rows = [row for row in report.runs if row.as_trained]
    if not rows:
        return None
    heads = (*words("run"), *(Head(f"{RATE_WORDS[n]}, {how}") for n in RATES for how in ("deployed", "as trained")))
    cells = [
        (
            text(f"{row.label}-s{row.seed}"),
            *(figure(of.get(n), percent(of.get(n))) for n in RATES for of in (row.rates, row.as_trained)),
        )
        for row in rows
    ]
    return Table("as-trained", "Quarantine off (deployed) and on (as trained), %", heads, tuple(cells))


def cost_table(report: Report) -> Table:
    currency = ((report.cost or {}).get("budget") or {}).get("currency", "")
    heads = (
        *words("run"),
        Head("wall time"),
        Head(f"cost, {currency}" if currency else "cost"),
        Head("attempts"),
        Head("preemptions"),
    )
    rows = [
        (
            text(f"{row.label}-s{row.seed}", row.run_id),
            figure(row.wall_s, duration(row.wall_s), "not finished"),
            figure(row.cost, number(row.cost, 2), "no price"),
            Cell(str(row.attempts), row.attempts),
            Cell(str(row.preemptions), row.preemptions),
        )
        for row in report.runs
    ]
    return Table("cost", "Time and cost by run", heads, tuple(rows))


def attempts_table(report: Report) -> Table:
    heads = (
        *words("arm"),
        Head("runs"),
        Head("attempts"),
        Head("preemptions", "attempts that ended without result or error of the run's own"),
        Head("a run", "preemptions per run"),
    )
    rows = [
        (
            text(arm.label),
            Cell(str(arm.n_planned), arm.n_planned),
            Cell(str(arm.attempts), arm.attempts),
            Cell(str(arm.preemptions), arm.preemptions),
            figure(arm.preemptions / max(1, arm.n_planned), number(arm.preemptions / max(1, arm.n_planned), 2)),
        )
        for arm in report.arms
    ]
    note = "Where arms differ much here, interruptions may explain part of a difference."
    return Table("attempts", "Attempts and preemptions by arm", heads, tuple(rows), (note,))


def hashes_table(report: Report) -> Table:
    heads = words("run", "run id", "rates from", "adapter (SHA-256)", "code")
    rows = [
        (
            text(f"{row.label}-s{row.seed}"),
            text(row.run_id),
            text(row.source),
            text(row.adapter_sha256[:16], row.adapter_sha256),
            text(row.snapshot),
        )
        for row in report.runs
    ]
    return Table("hashes", "What each run is", heads, tuple(rows))


def gates_table(report: Report) -> Table:
    heads = (*words("gate", "state"), Head("figure"), *words("wanted", "run", "note"))
    rows = []
    for gate in report.gates:
        limits = [
            f"{word} {gate[key]:g}"
            for key, word in (("at_least", ">="), ("at_most", "<="))
            if gate.get(key) is not None
        ]
        wanted = f"{gate.get('metric') or ''} {' and '.join(limits)}".strip()
        approve = "; a person approves" if gate.get("approve") == "human" else ""
        value = gate.get("value")
        rows.append(
            (
                text(gate.get("name")),
                text(gate.get("state")),
                figure(value, digits3(value), "no figure yet"),
                text(wanted + approve),
                text(gate.get("run_id")),
                text(gate.get("note")),
            )
        )
    return Table("gates", "Gates", heads, tuple(rows))


def record_table(name: str, caption: str, records: Sequence[dict[str, Any]]) -> Table:
    """Rows whose keys are not known beforehand: `time` first, then every key that occurs, sorted."""
    keys = sorted({key for record in records for key in record} - {"time"})
    keys.sort(key=lambda key: key not in ("reason", "command"))
    heads = words("time", *keys)
    rows = [
        (
            Cell(
                moment(record.get("time")), record.get("time") if isinstance(record.get("time"), int | float) else None
            ),
            *(text(anything(record.get(key))) for key in keys),
        )
        for record in records
    ]
    return Table(name, caption, heads, tuple(rows))


def pairs(record: dict[str, Any] | None, leave_out: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Of a record, for a definition list; sorted, so that no page depends on how a dict was filled."""
    out = set(leave_out)
    found: list[tuple[str, str]] = []
    for key, value in sorted((record or {}).items()):
        if key in out:
            continue
        if isinstance(value, dict):
            found += [(f"{key}: {inner}", said) for inner, said in pairs(value)]
        else:
            found.append((key, moment(value) if key in ("created", "time") else anything(value)))
    return found
