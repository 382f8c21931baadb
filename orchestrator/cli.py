"""`grpoq`: ask, print, and apply where the command acts. What it takes and answers is what scripts rely on.

Imports at the top are the cheap ones; a command brings its own, so that `status` answers at once.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.reading.shell_completion import (
    complete_gate,
    complete_matrix,
    complete_plan,
    complete_run,
    complete_tracker,
)
from orchestrator.refusal import FAILED, Refused
from orchestrator.store import registry_version
from orchestrator.store.home import Home

app = typer.Typer(
    name="grpoq",
    help="Run a preregistered matrix of GRPO runs on one preemptible box, and lose nothing.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
HomeOption = Annotated[str | None, typer.Option("--home", metavar="DIR", help="instead of GRPOQ_HOME or the cwd")]
PlanOption = Annotated[
    str | None,
    typer.Option("--plan", metavar="PLAN", help="another plan than the newest", autocompletion=complete_plan),
]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]
PeekOption = Annotated[bool, typer.Option("--peek", help="outcomes of unfinished contrasts too; the look is kept")]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="run id, LABEL-sSEED, or a prefix", autocompletion=complete_run)
]


@app.callback()
def grpoq(ctx: typer.Context, home: HomeOption = None) -> None:
    ctx.obj = home


@app.command()
def plan(
    ctx: typer.Context,
    matrix: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE.toml", help="a built-in plan, or a file", autocompletion=complete_matrix),
    ] = None,
    arms: Annotated[str | None, typer.Option(metavar="A,B", help="only these arms")] = None,
    seeds: Annotated[str | None, typer.Option(metavar="41,42", help="these seeds instead of the plan's")] = None,
    slots: Annotated[int | None, typer.Option(help="runs at a time; `submit --slots` may say fewer")] = None,
    problems: Annotated[str | None, typer.Option(metavar="FILE.jsonl", help="train on these benchmark rows")] = None,
    held_out: Annotated[str | None, typer.Option(metavar="FILE.jsonl", help="evaluate on these rows alone")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="key=value", help="any config field")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="a few steps of the first run instead, to price it")] = False,
    fallback: Annotated[
        str | None, typer.Option(metavar="GATE", help="the newest plan, with this gate's fallback")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show, write nothing")] = False,
    as_json: JsonOption = False,
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """Resolve, price and freeze a matrix; a second call adds nothing."""
    from orchestrator.planning import plan as planning
    from orchestrator.planning.matrix import built_in_names, find_matrix, read_matrix
    from orchestrator.planning.resolve import read_choices
    from orchestrator.state.cost import price
    from orchestrator.store.plan_dir import choose_plan

    here = _home(ctx, home)
    if fallback is not None:
        if matrix or arms or seeds or slots or problems or held_out or overrides or probe:
            raise Refused("--fallback takes the newest plan (or --plan) as it is; leave the other choices out")
        draft = planning.draft_fallback(choose_plan(here, plan), fallback)
    elif matrix is None:
        raise Refused(f"no plan named; choose from {', '.join(built_in_names())}, or give a path to a .toml file")
    else:
        choices = read_choices(arms, seeds, slots, problems, overrides or [], held_out)
        make = planning.draft_probe if probe else planning.draft_plan
        draft = make(read_matrix(find_matrix(matrix)), choices)
    planning.require_room(here, draft)
    costs = price(here, draft.content, draft.specs)
    probe_of = matrix if matrix and not probe else ""
    if dry_run:
        _show_plan(here, draft.plan_id, draft.content, draft.specs, costs, probe_of, as_json)
        for note in (*draft.notes, "dry run: nothing was written"):
            _tell(note)
        return
    locked, is_new = planning.write_plan(here, draft)
    _show_plan(here, locked.plan_id, locked.content, draft.specs, costs, probe_of, as_json)
    if not is_new:
        kept, now = locked.content["snapshot"], draft.content["snapshot"]
        _tell("planned before; nothing was added")
        if kept != now:
            _tell(f"the code has changed since: its runs keep snapshot {kept}, the code now is {now}")
    for note in draft.notes:
        _tell(note)


@app.command()
def submit(
    ctx: typer.Context,
    backend: Annotated[str | None, typer.Option(metavar="local|pueue")] = None,
    slots: Annotated[int | None, typer.Option(help="fewer at a time than planned")] = None,
    track: Annotated[str | None, typer.Option(metavar="NAME[,NAME]", help="mirror it: see `grpoq track`")] = None,
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """Queue all that may run; a second call adds nothing."""
    from orchestrator.queue import actions
    from orchestrator.store.plan_dir import choose_plan
    from orchestrator.trackers import named, start_followers

    here = _home(ctx, home)
    chosen, mirrors = choose_plan(here, plan), named(track)
    name, count = actions.submit(here, chosen, backend, slots)
    print(f"submitted {chosen.plan_id} to {name}: {len(chosen.run_ids)} runs, {count} at a time")
    for warning in actions.warnings(chosen, count):
        _tell(warning)
    for line in start_followers(here, chosen, mirrors):
        print(line)
    print("next: grpoq status --watch")


@app.command()
def status(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", autocompletion=complete_run)] = None,
    watch: Annotated[bool, typer.Option("--watch", help="again every second, until all have ended")] = False,
    all_kinds: Annotated[bool, typer.Option("--all-kinds", help="not only training runs")] = False,
    peek: PeekOption = False,
    as_json: JsonOption = False,
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """The matrix, or one run with its history and the next command. Reads only."""
    from orchestrator.reading.status import plan_status, run_status
    from orchestrator.reading.status_text import plan_lines, run_lines
    from orchestrator.state import blinding
    from orchestrator.state.decide import TERMINAL
    from orchestrator.state.observed_plan import ObservedPlan
    from orchestrator.store.plan_dir import choose_plan, find_run

    if watch and as_json:
        raise Refused("--watch and --json: --json prints one document; ask again as often as you like")
    here, to_record = _home(ctx, home), peek
    while True:
        chosen, of_run = find_run(here, run, plan) if run else (choose_plan(here, plan), None)
        observed = ObservedPlan(chosen)
        if to_record:
            blinding.record_if_hidden(observed, "status")
            to_record = False
        if of_run is None:
            answer = plan_status(observed, all_kinds, peek)
            lines = plan_lines(answer, chosen.plan_id, _width())
            rows = [*answer["runs"], *answer["others"]]
        else:
            answer = run_status(observed, of_run, peek)
            lines = run_lines(answer, _width())
            rows = [answer]
        if watch and sys.stdout.isatty() and not as_json:
            sys.stdout.write("\x1b[H\x1b[2J")
        print(json.dumps(answer) if as_json else "\n".join(lines), flush=True)
        if not watch or all(row["state"] in TERMINAL for row in rows):
            return
        time.sleep(1.0)


@app.command()
def wait(
    ctx: typer.Context,
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN ...]", autocompletion=complete_run)] = None,
    timeout: Annotated[float | None, typer.Option(metavar="S", help="seconds; then exit 124")] = None,
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """Until the runs (default: all) are done, failed or cancelled."""
    from orchestrator.queue.waiting import wait as wait_for
    from orchestrator.store.plan_dir import choose_plan, find_run

    here = _home(ctx, home)
    if timeout is not None and not timeout >= 0:
        raise Refused(f"--timeout {timeout}; it must be at least 0")
    if runs:
        wanted = [find_run(here, name, plan) for name in runs]
    else:
        chosen = choose_plan(here, plan)
        wanted = [(chosen, run) for run in chosen.runs()]
    ended = wait_for(here, wanted, timeout)
    bad = {run_id: d for run_id, d in ended.items() if d.state != "done"}
    for run_id, decision in bad.items():
        _tell(f"{run_id} {decision.state}{f': {decision.note}' if decision.note else ''}")
    print(f"{len(ended) - len(bad)} of {len(ended)} done")
    if bad:
        raise typer.Exit(FAILED)


@app.command()
def logs(
    ctx: typer.Context,
    run: RunArgument,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="until the run ends")] = False,
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """All attempts, joined with a seam line."""
    from orchestrator.reading.logs import read_logs
    from orchestrator.reading.status import states
    from orchestrator.state.decide import TERMINAL
    from orchestrator.store.plan_dir import find_run

    of_plan, directory = find_run(_home(ctx, home), run, plan)
    one = {directory.run_id}
    for chunk in read_logs(directory, follow, lambda: states(of_plan, one)[directory.run_id].state in TERMINAL):
        sys.stdout.write(chunk)
        sys.stdout.flush()


@app.command()
def resume(ctx: typer.Context, home: HomeOption = None) -> None:
    """One pass now: resubmit what died, start the watch if none runs."""
    from orchestrator.queue import actions

    print(f"{actions.resume(_home(ctx, home))} submitted runs have not ended")


@app.command()
def cancel(ctx: typer.Context, run: RunArgument, plan: PlanOption = None, home: HomeOption = None) -> None:
    """A stop request; the worker saves first. Only `retry` revives the run."""
    from orchestrator.queue import actions
    from orchestrator.store.plan_dir import find_run

    here = _home(ctx, home)
    of_plan, directory = find_run(here, run, plan)
    actions.cancel(here, of_plan, directory)
    print(f"cancelled {directory.run_id}")


@app.command()
def retry(ctx: typer.Context, run: RunArgument, plan: PlanOption = None, home: HomeOption = None) -> None:
    """A new submission of a failed or cancelled run; it goes on from its newest checkpoint."""
    from orchestrator.queue import actions
    from orchestrator.store.plan_dir import find_run

    here = _home(ctx, home)
    of_plan, directory = find_run(here, run, plan)
    number = actions.retry(here, of_plan, directory)
    print(f"submitted {directory.run_id} again, number {number}")


@app.command()
def watch(
    ctx: typer.Context,
    detached: Annotated[bool, typer.Option("--detached", hidden=True)] = False,
    home: HomeOption = None,
) -> None:
    """Reconcile for ever: start what waits, resubmit what died."""
    from orchestrator.queue.watch import watch as reconcile_for_ever

    here = _home(ctx, home)
    here.require_writable()
    reconcile_for_ever(here, detached)


@app.command()
def approve(
    ctx: typer.Context,
    gate: Annotated[
        str, typer.Argument(metavar="GATE", help="a gate that waits for a person", autocompletion=complete_gate)
    ],
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """Open a gate that a person must open; its figure must be within bounds all the same."""
    from orchestrator.queue import actions
    from orchestrator.store.plan_dir import choose_plan

    here = _home(ctx, home)
    print(actions.approve(here, choose_plan(here, plan), gate))


@app.command()
def amend(
    ctx: typer.Context,
    reason: Annotated[str, typer.Option("--reason", metavar="WHY", help="stands in every report of the plan")],
    cap: Annotated[float | None, typer.Option(metavar="N", help="a new cap for the budget")] = None,
    code: Annotated[bool, typer.Option("--code", help="the code as it is now, for runs that have not begun")] = False,
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """Keep a deviation from the plan in its ledger; what was locked stays as it was."""
    from orchestrator.queue import actions
    from orchestrator.store.amend import amend as keep
    from orchestrator.store.plan_dir import choose_plan

    here = _home(ctx, home)
    chosen = choose_plan(here, plan)
    row = keep(here, chosen, reason, cap, code)
    actions.go_on(here, chosen)
    print(f"amended {chosen.plan_id}, number {len(chosen.ledger())}: {row['reason']}")
    if "runs" in row:
        print(f"snapshot {row['snapshot']} for {len(row['runs'])} runs that have not begun")


@app.command()
def cost(ctx: typer.Context, as_json: JsonOption = False, plan: PlanOption = None, home: HomeOption = None) -> None:
    """What was spent, what is left to spend, and whether it fits the cap."""
    from orchestrator.state.cost import cost as count
    from orchestrator.state.cost import cost_lines
    from orchestrator.state.observed_plan import ObservedPlan
    from orchestrator.store.plan_dir import choose_plan

    here = _home(ctx, home)
    answer = count(ObservedPlan(choose_plan(here, plan)))
    print(json.dumps(answer) if as_json else "\n".join(cost_lines(answer)))


@app.command()
def notify(
    ctx: typer.Context,
    command: Annotated[str | None, typer.Argument(metavar="[COMMAND]", help="for sh; without it, show it")] = None,
    off: Annotated[bool, typer.Option("--off", help="tell nothing any more")] = False,
    test: Annotated[bool, typer.Option("--test", help="run it once now")] = False,
    home: HomeOption = None,
) -> None:
    """A command that the watch runs on a finish, a failure, a gate, the budget: $GRPOQ_EVENT, $GRPOQ_MESSAGE."""
    from orchestrator.queue import notify as notices

    here = _home(ctx, home)
    if command is not None or off:
        notices.write_command(here, "" if off else command or "")
    known = notices.read_command(here)
    print(f"on every finish, failure, gate and budget: {known}" if known else "no command is set")
    if test and known:
        notice = notices.Notice("test", "test", "grpoq can reach you")
        child = notices.Notifier(here, _tell).run(known, notice, "")
        if child is None or child.wait():
            raise Refused(f"the command ended with {child.returncode if child else 'an error'}", FAILED)


service = typer.Typer(help="A watch that is there after every boot.", context_settings=app.info.context_settings)
app.add_typer(service, name="service")


@service.command("install")
def service_install(
    ctx: typer.Context,
    show: Annotated[bool, typer.Option("--print", help="print unit and cron line, write nothing")] = False,
    home: HomeOption = None,
) -> None:
    """A systemd user unit, or a cron line where there is no systemd; says what it writes."""
    from orchestrator.queue.service import Service

    of_home = Service(_home(ctx, home))
    if show:
        print(f"# {of_home.unit_path}\n{of_home.unit()}\n# or, where there is no systemd:\n{of_home.cron_line()}")
        return
    print("\n".join(of_home.install()))


@service.command("uninstall")
def service_uninstall(ctx: typer.Context, home: HomeOption = None) -> None:
    """Take it away again; what runs goes on."""
    from orchestrator.queue.service import Service

    print("\n".join(Service(_home(ctx, home)).uninstall()))


@app.command("eval")
def evaluate(
    ctx: typer.Context,
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN ...]", autocompletion=complete_run)] = None,
    samples: Annotated[int | None, typer.Option(metavar="N", help="completions per problem and prompt form")] = None,
    problems: Annotated[int | None, typer.Option(metavar="N", help="held-out problems")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="key=value", help="any config field")] = None,
    backend: Annotated[str | None, typer.Option(metavar="local|pueue")] = None,
    as_json: JsonOption = False,
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """Evaluate finished training runs (default: all, and the base model) that lack it; a second call adds nothing."""
    from orchestrator.planning.evaluation_plan import settings as protocol_settings
    from orchestrator.queue import evaluate as evaluating

    settings = protocol_settings(samples, problems, overrides or [])
    answer = evaluating.evaluate(_home(ctx, home), plan, runs or [], settings, backend)
    print(json.dumps(answer) if as_json else "\n".join(evaluating.lines(answer)))
    for note in answer["notes"]:
        _tell(note)


@app.command()
def report(
    ctx: typer.Context,
    out: Annotated[str | None, typer.Option(metavar="DIR|FILE.html", help="default: GRPOQ_HOME/report")] = None,
    peek: PeekOption = False,
    as_json: JsonOption = False,
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """The registered verdicts, and what they rest on: a page, figures, tables, and the answer here."""
    from orchestrator.report.write import write_report
    from orchestrator.store.plan_dir import choose_plan, evaluated_plan

    here = _home(ctx, home)
    write_report(here, evaluated_plan(choose_plan(here, plan)), out, as_json, _width(), peek)


@app.command()
def rollouts(
    ctx: typer.Context,
    run: RunArgument,
    label: Annotated[
        str | None,
        typer.Option(metavar="LABEL", help="hack, reward-hack, attempted, correct, correct-attempted, incorrect"),
    ] = None,
    mode: Annotated[str | None, typer.Option(metavar="MODE", help="of this loophole mode")] = None,
    step: Annotated[str | None, typer.Option(metavar="N|A-B", help="of these steps")] = None,
    problem: Annotated[str | None, typer.Option(metavar="ID", help="of this problem")] = None,
    teacher: Annotated[bool, typer.Option("--teacher", help="the teacher's instead of the students'")] = False,
    first: Annotated[bool, typer.Option("--first", help="the earliest (of hacks, if none named)")] = False,
    limit: Annotated[int, typer.Option(min=1, help="at most so many")] = 3,
    full: Annotated[bool, typer.Option("--full", help="all of the code, and the whole completion")] = False,
    as_json: JsonOption = False,
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """Read completions: the code that was judged, its label, what was paid."""
    from orchestrator.reading import rollouts as reading
    from orchestrator.reading.rollouts_text import show
    from orchestrator.store.plan_dir import find_run

    here = _home(ctx, home)
    steps = reading.parse_steps(step)
    wanted = reading.Wanted(label or ("hack" if first else None), mode, steps, problem, teacher, first, limit)
    show(find_run(here, run, plan)[1], wanted, full, as_json, plan, _width())


@app.command()
def track(
    ctx: typer.Context,
    tracker: Annotated[
        str,
        typer.Argument(metavar="NAME", help="tensorboard, wandb or trackio", autocompletion=complete_tracker),
    ],
    follow: Annotated[bool, typer.Option("--follow", help="go on until all runs have ended")] = False,
    health: Annotated[bool, typer.Option("--health", help="leave out what tells an arm's outcome")] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="instead of GRPOQ_HOME/track/NAME")
    ] = None,
    plan: PlanOption = None,
    home: HomeOption = None,
) -> None:
    """Mirror metrics and evaluations into an experiment tracker: each run one curve, whatever was killed."""
    from orchestrator.store.plan_dir import choose_plan
    from orchestrator.trackers.follow import track as mirror

    here = _home(ctx, home)
    mirror(here, choose_plan(here, plan), tracker, folder, follow, health)


@app.command()
def grade(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="one (problem, completion) pair a line")],
    out: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="instead of stdout")] = None,
    problems: Annotated[Path | None, typer.Option(metavar="FILE.jsonl", help="rows that problem_id refers to")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="isolated children at a time; default: cores")] = None,
) -> None:
    """Label completions of benchmark problems; exit 1 if some rows could not be read."""
    from orchestrator.tools import grading

    totals = grading.grade_to(file, problems, out, sys.stdout, workers or os.cpu_count() or 1)
    for line in grading.summary(totals):
        _tell(line)
    if code := grading.exit_code(totals):
        raise typer.Exit(code)


data = typer.Typer(help="What a plan on a benchmark needs.", context_settings=app.info.context_settings)
app.add_typer(data, name="data")


@data.command("leetcode")
def data_leetcode(
    ctx: typer.Context,
    train: Annotated[Path | None, typer.Option(metavar="FILE", help="the benchmark's training rows")] = None,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="its test rows, which are held out")] = None,
    from_hub: Annotated[bool, typer.Option("--from-hub", help="the set it was made from, fetched")] = False,
    mirror: Annotated[Path | None, typer.Option(metavar="DIR", help="a copy of its repository")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="default: GRPOQ_HOME/data/leetcode")] = None,
    model: Annotated[str | None, typer.Option(help="whose tokenizer measures prompts; default: plan full's")] = None,
    max_prompt: Annotated[int | None, typer.Option(min=1, help="tokens; default: plan full's")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="solutions judged at a time; default: cores")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Filter, count and hash the benchmark's rows: DIR/train.jsonl, DIR/held_out.jsonl, DIR/data.json."""
    from core.spec import PRESETS
    from orchestrator.data import hub, leetcode, sources
    from orchestrator.data.filters import Settings

    if [bool(train and test), from_hub, mirror is not None].count(True) != 1 or bool(train) != bool(test):
        raise Refused("give --train FILE and --test FILE, or --from-hub, or --mirror DIR: one of the three")
    full = PRESETS["full"]
    settings = Settings(model or full.model, max_prompt or full.max_prompt, workers or os.cpu_count() or 1)
    place = out or _home(ctx, home).path / "data" / "leetcode"
    leetcode.require_folder(place)
    if train and test:
        found = sources.from_files(train, test)
    else:
        found = sources.from_mirror(mirror) if mirror else hub.from_hub()
    texts = leetcode.build(found, settings, _tell)
    if not leetcode.write(texts, place):
        _tell(f"{place} holds the same already; nothing was written")
    answer = json.loads(texts["data.json"])
    print(json.dumps(answer) if as_json else "\n".join(leetcode.summary(answer, place)))


@app.command()
def doctor(
    ctx: typer.Context,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="make jobs.sqlite again from plans and runs")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """What this machine gives a run, and what in the home is out of order, each with what helps; exit 1 if anything."""
    from orchestrator.tools import doctor as examination

    here = Home.locate(home or ctx.obj)  # without asking its registry, which may be what is broken
    if rebuild:
        from orchestrator.store.rebuild import rebuild as make_again

        plans, runs = make_again(here)
        _tell(f"{here.registry} made again: {plans} plans, {runs} runs; the old one, if any, stands beside it")
    answer = examination.examine(here)
    print(json.dumps(answer) if as_json else "\n".join(examination.lines(answer)))
    if answer["found"]:
        raise typer.Exit(FAILED)


@app.command()
def chaos(
    ctx: typer.Context,
    backend: Annotated[str | None, typer.Option(metavar="local|pueue")] = None,
    kills: Annotated[int, typer.Option(min=1, help="strikes, spread over the runs")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="of instants and victims")] = 0,
    home: HomeOption = None,
) -> None:
    """Kill workers, watch and daemon of a small plan on this box, and compare with a twin that was left in peace."""
    from orchestrator.tools.chaos import chaos as storm

    if not storm(_home(ctx, home), backend, seed, kills, lambda line: print(line, flush=True)):
        raise typer.Exit(FAILED)


def _home(ctx: typer.Context, option: str | None) -> Home:
    """Every command asks first whether this grpoq may read the home at all."""
    home = Home.locate(option or ctx.obj)
    damage = registry_version.require_known(home.registry)
    if damage:
        _tell(damage)
    return home


def _show_plan(
    home: Home,
    plan_id: str,
    content: dict[str, Any],
    specs: list[Any],
    costs: dict[str, Any],
    probe_of: str,
    as_json: bool,
) -> None:
    from orchestrator.planning import forecast, plan_text, power
    from orchestrator.state.cost import price_lines

    powers = power.powers(content, specs)
    needs = forecast.needs(home.path, specs, content["slots"])
    if as_json:
        of_names = {name: power.to_json() for name, power in powers.items()}
        print(json.dumps({"plan_id": plan_id, **content, "price": costs, "power": of_names, **needs.to_json()}))
        return
    priced = price_lines(costs, probe_of, {spec.kind for spec in specs})
    print(
        "\n".join([*plan_text.lines(plan_id, content, specs, needs, powers, _width()), *priced, "next: grpoq submit"])
    )


def _tell(sentence: str) -> None:
    print(f"grpoq: {sentence}", file=sys.stderr)


def _width() -> int:
    return shutil.get_terminal_size((80, 24)).columns


def main() -> None:
    try:
        app()
    except Refused as refusal:
        _tell(str(refusal))
        sys.exit(refusal.exit_code)
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        _tell(
            f"{error.filename or 'the home'}: {os.strerror(error.errno or 0)}; what was acknowledged before is kept, "
            "what this command began is completed by giving it again once that is mended"
        )
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
