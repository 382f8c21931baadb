"""The page's tables. A column is declared once: its head, the value that a click on it sorts by, and how that is shown.

A cell without a figure says why in `note`: not measured, blank at n = 1, or hidden until its contrast is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from orchestrator.report.model import LAST_STEP, RATES, ArmRow, Contrast, Report, RunRow
from orchestrator.report.page.formatting import (
    RULE,
    anything,
    digits3,
    duration,
    hundredths,
    interval,
    moment,
    number,
    out_of,
    p_value,
    percent,
    percent_interval,
    plus_minus,
    points,
    thousands,
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
Row = TypeVar("Row")
Record = dict[str, Any]
Show = Callable[[Any], str]  # of a value
Say = Callable[[Row], str]  # of a row


@dataclass(frozen=True)
class Cell:
    text: str
    sort: float | str | None = None  # None: stands last, whatever the direction
    note: str = ""
    muted: bool = False


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A head, and what stands under it. A pair sorts by its first; a word among figures stands last."""

    text: str
    of: Callable[[Row], Any]  # the value; None or "": there is none
    show: Show = str
    note: str = ""
    blank: str | Say[Row] = "not measured"  # why there is no value; empty: no reason is owed
    aside: Say[Row] = lambda row: ""  # the note of a cell
    numeric: bool = True

    def cell(self, row: Row) -> Cell:
        value = self.of(row)
        if value in ("", None):
            why = self.blank if isinstance(self.blank, str) else self.blank(row)
            if self.numeric and why in (ONE, HIDDEN):
                return Cell(why, muted=True)
            return Cell(RULE, note=why or self.aside(row), muted=bool(why))
        sort = value[0] if isinstance(value, tuple) else value
        if isinstance(sort, str):
            sort = None if self.numeric else sort.lower()
        return Cell(self.show(value), sort, self.aside(row))


@dataclass(frozen=True)
class Table(Generic[Row]):
    name: str  # unique on the page
    caption: str
    columns: Sequence[Column[Row]]  # the first is the head of its row
    rows: Sequence[Row]
    notes: tuple[str, ...] = ()


def words(text: str, of: Callable[[Row], Any], aside: Say[Row] = lambda row: "") -> Column[Row]:
    return Column(text, of, blank="", aside=aside, numeric=False)


def unless_hidden(why: str) -> Say[RunRow | Contrast]:
    return lambda row: HIDDEN if row.blinded else why


def run_name(row: RunRow) -> str:
    return f"{row.label}-s{row.seed}"


RUN: Column[RunRow] = words("run", run_name, lambda row: row.run_id)
STEPS: Column[RunRow] = Column("steps", lambda row: (row.steps, row.steps_planned), out_of)


def runs_table(report: Report) -> Table[RunRow]:
    blank, idle = unless_hidden("not measured"), "first step with > 50 % tests that prove nothing"

    def rate(name: str) -> Column[RunRow]:
        return Column(RATE_WORDS[name], lambda row: row.rates.get(name), percent, "% of held-out completions", blank)

    def bounds(name: str) -> Column[RunRow]:
        return Column(f"{RATE_WORDS[name]}, 95 %", lambda row: row.bounds.get(name), percent_interval, blank=blank)

    columns: tuple[Column[RunRow], ...] = (
        RUN,
        words("state", state_of, lambda row: row.note),
        rate("hack_rate"),
        rate("pass_rate"),
        bounds("hack_rate"),
        bounds("pass_rate"),
        rate("hinted_pass_rate"),
        rate("empty_test_rate"),
        rate("compile_rate"),
        Column("n hinted", lambda row: row.n_hinted, thousands, "completions behind the hinted rates"),
        Column("n pass", lambda row: row.n_pass, thousands, "completions behind the pass rate"),
        Column("problems", lambda row: row.n_problems, thousands),
        Column("takeoff", takeoff, str, idle, unless_hidden("not finished")),
        STEPS,
    )
    note = (
        "hack, hinted, empty: prompts with the loophole. pass: prompts without it. compiles: all. "
        "Intervals are the run's own, over its completions."
    )
    return Table("runs", "Arm x seed: every planned run, % of held-out completions", columns, report.runs, (note,))


def state_of(row: RunRow) -> str:
    """Whether it counts, in words: a reader must not need a colour for it."""
    if row.counted:
        return "counted"
    if row.collapsed and "collapsed" not in row.why_not:
        return f"collapsed; not counted: {row.why_not}"
    return f"not counted: {row.why_not or row.state}"


def takeoff(row: RunRow) -> int | str | None:
    if row.blinded or (row.rates.get("hack_rate") is None and not row.collapsed):
        return None
    if row.collapsed:
        return "collapsed"
    return "never" if row.takeoff_step is None else row.takeoff_step


def arms_table(report: Report) -> Table[ArmRow]:
    hidden = {row.label for row in report.runs if row.blinded}

    def blank(arm: ArmRow) -> str:
        return HIDDEN if arm.label in hidden and arm.n == 0 else "no counted run"

    def blank_sd(arm: ArmRow) -> str:
        return ONE if arm.n == 1 else blank(arm)

    def mean(name: str) -> Column[ArmRow]:
        return Column(RATE_WORDS[name], lambda arm: arm.mean.get(name), percent, blank=blank)

    def sd(name: str) -> Column[ArmRow]:
        return Column("sd", lambda arm: arm.sd.get(name), percent, "over seeds, points", blank_sd)

    def all_in(name: str) -> Column[ArmRow]:
        note = "mean with excluded runs counted too"
        return Column(f"{RATE_WORDS[name]}, all in", lambda arm: arm.mean_with_excluded.get(name), percent, note, blank)

    columns: tuple[Column[ArmRow], ...] = (
        words("arm", lambda arm: arm.label),
        words("role", lambda arm: arm.role),
        Column("n", lambda arm: (arm.n, arm.n_planned), out_of, "runs counted / planned"),
        mean("hack_rate"),
        sd("hack_rate"),
        mean("pass_rate"),
        sd("pass_rate"),
        mean("hinted_pass_rate"),
        mean("empty_test_rate"),
        mean("compile_rate"),
        all_in("hack_rate"),
        all_in("pass_rate"),
        Column("n, all in", lambda arm: arm.n_with_excluded, note="runs with excluded ones"),
    )
    note = (
        "Means over counted runs, %; sd over seeds, in points, blank where there is one. "
        "All in: nothing that finished is left out."
    )
    return Table("arms", "Means by arm", columns, report.arms, (note,))


def contrast_tables(report: Report) -> tuple[Table[Contrast], ...]:
    """Over problems: of the hack rate and of the pass rate. Over seeds: of both."""
    n = Column[Contrast]("n", lambda contrast: len(contrast.seeds), note="seeds that both arms have")
    unique = any(contrast.unique for contrast in report.contrasts)
    hack_unique, pass_unique = ((difference_unique(rate),) if unique else () for rate in ("hack", "pass"))
    of_hack = (*SIDES, *over_problems("hack"), difference_all_in("hack"), *hack_unique)
    of_pass = (*SIDES, *over_problems("passing"), *EQUIVALENCE, difference_all_in("pass"), *pass_unique)
    of_seeds = (*SIDES, n, *over_seeds("hack", "hack"), *over_seeds("pass", "passing"))
    unit = (
        "Unit: a problem's mean over the seeds that both arms have and all samples. Points, treatment minus baseline."
    )
    one = "Blank where there is one seed: nothing is known of how another would come out."
    return (
        Table("contrasts-hack", "Contrasts over problems: hack rate", of_hack, report.contrasts, (unit,)),
        Table("contrasts-pass", "Contrasts over problems: pass rate", of_pass, report.contrasts, (unit,)),
        Table("contrasts-seeds", "Contrasts over seeds, points", of_seeds, report.contrasts, (one,)),
    )


def undefined(contrast: Contrast) -> str:
    return HIDDEN if contrast.blinded else "not defined" if contrast.seeds else "no seed that both arms have"


def undefined_over_seeds(contrast: Contrast) -> str:
    return ONE if len(contrast.seeds) == 1 and not contrast.blinded else undefined(contrast)


def compared(
    rate: str, name: str, text: str, show: Show, note: str = "", blank: Say[Contrast] = undefined
) -> Column[Contrast]:
    """A figure of the comparison of one rate, `hack` or `passing`."""
    return Column(text, lambda contrast: getattr(getattr(contrast, rate), name, None), show, note, blank)


def over_problems(rate: str) -> tuple[Column[Contrast], ...]:
    return (
        Column(
            "seeds",
            lambda contrast: (len(contrast.seeds), ", ".join(map(str, contrast.seeds)) or "none"),
            lambda pair: pair[1],
            "counted in both",
            aside=lambda contrast: "; ".join(contrast.missing),
            numeric=False,
        ),
        compared(rate, "difference", "difference", points, "treatment minus baseline, points"),
        compared(rate, "bounds", "95 %", interval, "bootstrap over problems"),
        compared(rate, "n_problems", "n", str, "problems"),
        compared(rate, "t", "t", hundredths, "paired over problems"),
        compared(rate, "p", "p", p_value),
        compared(rate, "p_holm", "Holm p", p_value, "over the plan's registered contrasts"),
        compared(rate, "d_z", "d_z", hundredths, "mean of problem differences over their standard deviation"),
    )


def over_seeds(word: str, rate: str) -> tuple[Column[Contrast], ...]:
    blank = undefined_over_seeds
    return (
        compared(rate, "seed_sd", f"{word} sd", number, "of the differences by seed, points", blank),
        compared(rate, "seed_sem", f"{word} sem", number, "points", blank),
        compared(rate, "seed_t", f"{word} t", hundredths, "paired over seeds", blank),
        compared(rate, "seed_p", f"{word} p", p_value, "paired over seeds", blank),
    )


def equivalent(contrast: Contrast) -> float | None:
    known = contrast.passing.equivalent if contrast.passing else None
    return None if known is None else float(known)


def difference_all_in(rate: str) -> Column[Contrast]:
    note, blank = "difference with excluded runs counted too", unless_hidden("nothing is left out")
    return Column("all in", lambda contrast: contrast.with_excluded.get(rate), points, note, blank)


NO_TEST = unless_hidden("not defined")
SIDES: tuple[Column[Contrast], ...] = (
    words("contrast", lambda contrast: f"{contrast.purpose}: {contrast.treatment}"),
    words("baseline", lambda contrast: contrast.baseline),
)
EQUIVALENCE: tuple[Column[Contrast], ...] = (
    compared("passing", "band", "band", plus_minus, "points", NO_TEST),
    compared("passing", "p_equivalent", "p (equivalence)", p_value, "two one-sided tests against the band", NO_TEST),
    Column("equivalent", equivalent, lambda yes: "yes" if yes else "not shown", blank=NO_TEST, numeric=False),
)


def seed_table(report: Report) -> Table[Record]:
    """Every contrast seed by seed: what the treatment and the baseline of one seed did beside each other."""

    def of(name: str, show: Show = number, note: str = "%") -> Column[Record]:
        return Column(name.replace("_", ", "), lambda row: row.get(name), show, note)

    columns: tuple[Column[Record], ...] = (
        words("contrast", lambda row: row["contrast"]),
        words("baseline", lambda row: row["baseline"]),
        Column("seed", lambda row: row["seed"]),
        of("hack_treatment"),
        of("hack_baseline"),
        of("hack_difference", points, "points"),
        of("pass_treatment"),
        of("pass_baseline"),
        of("pass_difference", points, "points"),
    )
    rows = [
        {"contrast": f"{contrast.purpose}: {contrast.treatment}", "baseline": contrast.baseline} | row
        for contrast in report.contrasts
        for row in contrast.by_seed
    ]
    missing = dict.fromkeys(what for contrast in report.contrasts for what in contrast.missing)
    notes = (f"Not counted: {'; '.join(missing)}.",) if missing else ()
    return Table("seeds", "Contrasts seed by seed, %", columns, rows, notes)


def health_table(report: Report) -> Table[RunRow]:
    def last(name: str) -> Column[RunRow]:
        return Column(name, lambda row: row.health.get(name), digits3)

    known = [name for name in LAST_STEP if any(row.health.get(name) is not None for row in report.runs)]
    state: Column[RunRow] = words("state", lambda row: row.state, lambda row: row.note)
    return Table("health", "Health at the last step", (RUN, state, STEPS, *map(last, known)), report.runs)


def as_trained_table(report: Report) -> Table[RunRow] | None:
    """Where an arm has a quarantine: rates with it, beside those without it that count."""

    def both(name: str) -> tuple[Column[RunRow], ...]:
        return (
            Column(f"{RATE_WORDS[name]}, deployed", lambda row: row.rates.get(name), percent),
            Column(f"{RATE_WORDS[name]}, as trained", lambda row: row.as_trained.get(name), percent),
        )

    rows = [row for row in report.runs if row.as_trained]
    columns = (words("run", run_name), *(column for name in RATES for column in both(name)))
    return Table("as-trained", "Quarantine off (deployed) and on (as trained), %", columns, rows) if rows else None


def unique_table(report: Report) -> Table[ArmRow] | None:
    """Where some of the problems admit other answers than the listed one: rates with those problems and without."""

    def both(name: str) -> tuple[Column[ArmRow], ...]:
        return (
            Column(f"{RATE_WORDS[name]}, all", lambda arm: arm.mean.get(name), percent),
            Column(f"{RATE_WORDS[name]}, one answer", lambda arm: arm.mean_unique.get(name), percent),
        )

    rows = [arm for arm in report.arms if arm.mean_unique]
    columns = (words("arm", lambda arm: arm.label), *(column for name in RATES for column in both(name)))
    note = (
        "Some prompts admit other answers than the listed one, and a right solution that gives another counts as wrong."
    )
    caption = "Means by arm on all problems and on those with one right answer, %"
    return Table("unique", caption, columns, rows, (note,)) if rows else None


def difference_unique(rate: str) -> Column[Contrast]:
    note, blank = "difference on problems with one right answer", unless_hidden("all problems have one")
    return Column("one answer", lambda contrast: contrast.unique.get(rate), points, note, blank)


def cost_table(report: Report) -> Table[RunRow]:
    currency = ((report.cost or {}).get("budget") or {}).get("currency", "")
    columns: tuple[Column[RunRow], ...] = (
        RUN,
        Column("wall time", lambda row: row.wall_s, duration, blank="not finished"),
        Column(f"cost, {currency}" if currency else "cost", lambda row: row.cost, hundredths, blank="no price"),
        Column("attempts", lambda row: row.attempts),
        Column("preemptions", lambda row: row.preemptions),
    )
    return Table("cost", "Time and cost by run", columns, report.runs)


def attempts_table(report: Report) -> Table[ArmRow]:
    own = "attempts that ended without result or error of the run's own"
    columns: tuple[Column[ArmRow], ...] = (
        words("arm", lambda arm: arm.label),
        Column("runs", lambda arm: arm.n_planned),
        Column("attempts", lambda arm: arm.attempts),
        Column("preemptions", lambda arm: arm.preemptions, note=own),
        Column("a run", lambda arm: arm.preemptions / max(1, arm.n_planned), hundredths, "preemptions per run"),
    )
    note = "Where arms differ much here, interruptions may explain part of a difference."
    return Table("attempts", "Attempts and preemptions by arm", columns, report.arms, (note,))


def hashes_table(report: Report) -> Table[RunRow]:
    columns: tuple[Column[RunRow], ...] = (
        words("run", run_name),
        words("run id", lambda row: row.run_id),
        words("rates from", lambda row: row.source),
        words("adapter (SHA-256)", lambda row: row.adapter_sha256[:16], lambda row: row.adapter_sha256),
        words("code", lambda row: row.snapshot),
    )
    return Table("hashes", "What each run is", columns, report.runs)


def gates_table(report: Report) -> Table[Record]:
    columns: tuple[Column[Record], ...] = (
        words("gate", lambda gate: gate.get("name")),
        words("state", lambda gate: gate.get("state")),
        Column("figure", lambda gate: gate.get("value"), digits3, blank="no figure yet"),
        words("wanted", wanted),
        words("run", lambda gate: gate.get("run_id")),
        words("note", lambda gate: gate.get("note")),
    )
    return Table("gates", "Gates", columns, report.gates)


def wanted(gate: Record) -> str:
    limits = [
        f"{word} {gate[key]:g}" for key, word in (("at_least", ">="), ("at_most", "<=")) if gate.get(key) is not None
    ]
    approve = "; a person approves" if gate.get("approve") == "human" else ""
    return f"{gate.get('metric') or ''} {' and '.join(limits)}".strip() + approve


def record_table(name: str, caption: str, records: Sequence[Record]) -> Table[Record]:
    """Rows whose keys are not known beforehand: `time` first, then every key that occurs, sorted."""

    def of(key: str) -> Column[Record]:
        return words(key, lambda record: anything(record.get(key)))

    keys = sorted({key for record in records for key in record} - {"time"})
    keys.sort(key=lambda key: key not in ("reason", "command"))
    time: Column[Record] = Column("time", lambda record: record.get("time"), moment, blank="", numeric=False)
    return Table(name, caption, (time, *map(of, keys)), records)


def pairs(record: Record | None, leave_out: Iterable[str] = ()) -> list[tuple[str, str]]:
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
