# Every recipe sets up what it needs: `uv run` makes the environment first.

set positional-arguments

# what there is
default:
    @uv run just --list

# three seeds on a small world, one of them killed and resumed, a report: about 5 minutes on 2 cores
demo *args:
    uv run python -m orchestrator.tools.demo "$@"

# fifteen runs from plan to report, two of them killed on the way: about 20 minutes on 2 cores
demo-full *args:
    uv run python -m orchestrator.tools.demo --full "$@"

# what every commit must pass: about 5 minutes on 2 cores (three processes, since some tests wait)
test *args:
    uv run --group models --group trackers pytest -n 3 --dist loadgroup "$@"

# kills, real workers, every arm, the browser, real pueue, the wheel: half an hour on 2 cores; names of files or all
test-system *args="tests/system":
    uv run --group models --group trackers pytest -n 2 "$@"

# every exploit under every grader: the diagonal must light up, and nothing else
check *args:
    uv run python -m core.environment.diagonal "$@"

# gradings per second beside one fresh python per check; --problems FILE adds real rows; writes docs/results/bench-grading.json
bench-grading *args:
    PYTHONPATH=. uv run python -P bench/grading.py --out docs/results/bench-grading.json "$@"

# what only a GPU can show, in eight minutes: docs/gpu.md; --out FILE keeps it; --device cpu --tiny rehearses it
gpu-check *args:
    uv run python bench/gpu_check.py "$@"

# the queue's commands beside their rivals: cold status, a full home, submit, a kill, the gap between two jobs
bench-queue *args:
    PYTHONPATH=. uv run python -P bench/queue.py --out docs/results/bench-queue.json "$@"

# five small faults in every canonical solution of a benchmark file, and what becomes of each: docs/mutations.md
mutations problems seed="0":
    PYTHONPATH=.:tests uv run python -m support.mutation_study --problems "$1" --seed "$2" --out docs/results/mutations.json

# labels beside the benchmark's evaluator on made completions: docs/grading.md; --problems FILE; asks the benchmark anew
# with --benchmark CHECKOUT --python PYTHON (3.12 or newer, with pydantic and tqdm), else takes its stored outcomes
peer-labels *args:
    PYTHONPATH=.:tests uv run python -m support.peer_labels "$@"

# an independent right solution for every row of a benchmark file, and which of them are refused: docs/mutations.md
refused problems:
    PYTHONPATH=.:tests uv run python -m support.refusal_study --problems "$1" --out docs/results/refused.json

# find every point at which a process may be killed, and write docs/kills.md
kill-table:
    PYTHONPATH=.:tests uv run python -m support.kill_table

# what each field of the benchmark's arithmetic changes, on rollouts of three nano runs: about 15 minutes on one core
arithmetic *args:
    PYTHONPATH=. uv run python -P bench/arithmetic.py --out docs/results/arithmetic.json "$@"

# reference numbers of verl's own functions, tests/data/verl_reference.json; first, without its dependencies:
# uv pip install --no-deps --target DIR verl==0.6.1
verl-reference dir *args:
    #!/usr/bin/env bash
    set -euo pipefail
    export PYTHONPATH=".:tests:$1"
    shift
    with="--with ray --with tensordict --with hydra-core --with codetiming --with pandas --with torchdata --with datasets"
    uv run $with python -P -m support.verl_reference "$@"

# style, format, types, and what nothing but tests uses
lint:
    uv run ruff check
    uv run ruff format --check
    uv run mypy
    uv run vulture

# both lock files again, as of pyproject.toml's date: what a box installs, and what CI does
lock:
    uv lock --upgrade
    uv export --no-header --no-emit-project --no-dev > requirements.lock
    uv export --no-header --no-emit-project --all-groups > requirements-dev.lock
    ! grep -n "://" requirements.lock requirements-dev.lock

# plan, queue, train and report on a random model, in a home that is thrown away
fast-dev-run *args:
    #!/usr/bin/env bash
    set -euo pipefail
    home=$(mktemp -d)
    trap 'chmod -R u+w "$home"; rm -rf "$home"' EXIT
    export GRPOQ_HOME="$home"
    uv run grpoq plan smoke "$@"
    uv run grpoq submit
    uv run grpoq wait --timeout 600 || { uv run grpoq status; exit 1; }
    uv run grpoq report

# two arms of the smoke plan, vanilla and projected: a minute
smoke *args:
    uv run just fast-dev-run --arms vanilla,projected "$@"

# the vanilla arm of the smoke plan alone
smoke-vanilla *args:
    uv run just fast-dev-run --arms vanilla "$@"

# the projected arm of the smoke plan alone: extraction, projection, refresh
smoke-projected *args:
    uv run just fast-dev-run --arms projected "$@"

# every arm of the smoke plan
smoke-all *args:
    uv run just fast-dev-run "$@"

# one smoke run with an empty cache, and the same again with what that has left in it
smoke-both *args:
    #!/usr/bin/env bash
    set -euo pipefail
    GRPOQ_CACHE=$(mktemp -d)
    export GRPOQ_CACHE
    trap 'rm -rf "$GRPOQ_CACHE"' EXIT
    uv run just fast-dev-run --arms erase_update "$@"
    uv run just fast-dev-run --arms erase_update "$@"

# plan and queue in GRPOQ_HOME or here: a plan's name, then what `grpoq plan` takes
queue *args:
    #!/usr/bin/env bash
    set -euo pipefail
    uv run grpoq plan "$@"
    uv run grpoq submit

# vanilla and projected on three seeds, behind extraction and its gates: --problems TRAIN --held-out TEST
queue-full *args:
    uv run just queue full --arms vanilla,projected-m16 "$@"

# the same with the H4 probe's seed alone
queue-projected-m16 *args:
    uv run just queue full --arms vanilla,projected-m16 --seeds 41 "$@"

# vanilla on three seeds; the first is the H4 probe
queue-vanilla *args:
    uv run just queue full --arms vanilla "$@"

# Rebound beside vanilla on three seeds
queue-rebound *args:
    uv run just queue full --arms vanilla,rebound_mul "$@"

# one loophole mode left out of the pairs at a time
queue-substrate *args:
    uv run just queue loo-full "$@"

# one arm of that
run-substrate arm seed steps refresh *args:
    uv run just queue loo-full --arms "$1" --seeds "$2" --set steps="$3" --set refresh="$4" "${@:5}"

# routing by the direction, by a random one, absorption, vanilla
queue-decision *args:
    uv run just queue decision "$@"

# vanilla of `full` at one seed; the H4 probe (seed 41) goes first
probe-full-seed seed *args:
    uv run just _full-seed vanilla "$@"

# one arm of `full` at one seed, all its steps, behind the H4 probe
paper-longrun arm seed *args:
    uv run just _full-seed "$@"

_full-seed arm seed *args:
    #!/usr/bin/env bash
    set -euo pipefail
    arms=vanilla
    [ "$1" = vanilla ] || arms="vanilla,$1"
    seeds=41
    [ "$2" = 41 ] || seeds="41,$2"
    uv run just queue full --arms "$arms" --seeds "$seeds" "${@:3}"

# three labelled runs at one seed: vanilla, projected, random direction
sweep preset seed steps *args:
    uv run just queue "$1" --arms vanilla,projected,random_V --seeds "$2" --set steps="$3" "${@:4}"

# `full` up to its direction: self-check, extraction and the held-out pairs
extract-vhack-full *args:
    uv run just queue full --arms vanilla --seeds 41 "$@"
    uv run grpoq wait extract-s41
    uv run grpoq status extract-s41

# does that direction steer? For a person to read, before `grpoq approve steers`
verify-vhack-full *args:
    uv run just queue full --arms vanilla --seeds 41 "$@"
    uv run grpoq wait steer-s41
    uv run grpoq status steer-s41

# verdicts, tables, page
results *args:
    uv run grpoq report "$@"

# the report's figures alone, and where they lie
dyn out="report":
    uv run grpoq report --out "$1" > /dev/null
    find "$1" -name '*.png'

# first and last generations of a run, and how its columns moved
audit-log run:
    #!/usr/bin/env bash
    set -euo pipefail
    uv run grpoq rollouts "$1" --step 1
    uv run grpoq rollouts "$1"
    uv run grpoq logs "$1" | tail -n 30

# a teacher pool: `runs RUN_DIR ... --out FILE`, or `checkpoint NAME --problems FILE --out FILE`
build-pool *args:
    uv run python -m core.studies.build_pool "$@"

# put models where runs look for them, whole and checked: smollm2-135m, ORG/NAME, a directory; goes on where it was cut
download-model *models="smollm2-135m Qwen/Qwen3-4B":
    uv run --group models python -m core.model.download {{models}}

# what the tests need beyond Python (chromium only by name); leaves out what this machine cannot install, and says so
tools *names="bubblewrap pueue":
    #!/usr/bin/env bash
    set -uo pipefail
    as_root=""
    [ "$(id -u)" = 0 ] || as_root=$(command -v sudo || true)
    for name in {{names}}; do
        case "$name" in
        bubblewrap)
            if command -v bwrap >/dev/null; then
                echo "bubblewrap is there"
            elif command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "$as_root" ]; }; then
                $as_root apt-get update -q && $as_root apt-get install -y -q bubblewrap
            else
                echo "bubblewrap: needs apt-get and root; install it by your system's own means"
            fi ;;
        pueue)
            if command -v pueue >/dev/null; then
                echo "pueue is there"
            elif command -v cargo >/dev/null; then
                cargo install pueue --locked
            else
                echo "pueue: needs cargo (rustup.rs)"
            fi ;;
        chromium)
            if command -v chromium chromium-browser google-chrome >/dev/null; then
                echo "chromium is there"
            elif command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "$as_root" ]; }; then
                $as_root apt-get update -q && $as_root apt-get install -y -q chromium
            else
                echo "chromium: needs apt-get and root; install it by your system's own means"
            fi ;;
        *)
            echo "tools: unknown $name; choose from bubblewrap, pueue, chromium" >&2
            exit 2 ;;
        esac
    done

# run again what docs/nano.md reports: 5 seeds with and without the loophole, measured on 1,024 completions each
nano-results *args:
    #!/usr/bin/env bash
    set -euo pipefail
    lora="--set adapter=lora --set lr=1.5e-3"
    uv run grpoq --home results/nano plan nano --arms vanilla,no_loophole --seeds 41,42,43,44,45 $lora "$@"
    uv run grpoq --home results/nano submit
    uv run grpoq --home results/nano wait
    uv run grpoq --home results/nano report
    uv run python -m core.studies.nano_measure --out docs/results/nano-base.json
    uv run python -m core.studies.nano_measure --out docs/results/nano-runs.json results/nano/runs/*

# run again what docs/arms.md reports: the nano matrix and its controls, 3 seeds each (about 2 hours on 2 cores)
arms-results home="results/arms":
    #!/usr/bin/env bash
    set -euo pipefail
    for plan in nano controls; do
        uv run grpoq --home "$1" plan "$plan" --slots 2
        uv run grpoq --home "$1" submit --backend local
        uv run grpoq --home "$1" wait
    done
    PYTHONPATH=. uv run python -P bench/arms_table.py "$1" --out docs/results/arms.json

# what becomes of four nano arms now that an empty block earns nothing, 3 seeds each (half an hour on 2 cores)
collapse-results home="results/collapse":
    #!/usr/bin/env bash
    set -euo pipefail
    uv run grpoq --home "$1" plan nano --arms vanilla,erase,random_V-energy,rebound_mul --seeds 41,42,43 --slots 2
    uv run grpoq --home "$1" submit --backend local
    uv run grpoq --home "$1" wait
    PYTHONPATH=. uv run python -P bench/collapse_table.py "$1" --before docs/results/arms.json --out docs/results/collapse.json

# how well hack directions separate and steer on held-out pairs: nano in two minutes, SmolLM2 in half an hour
directions:
    #!/usr/bin/env bash
    set -euo pipefail
    uv run python -m core.studies.direction_report nano --pairs nano --max-new 96 --out docs/results/directions-nano.json
    smollm2="uv run --group models python -m core.studies.direction_report smollm2-135m"
    $smollm2 --samples 0 --out docs/results/directions-smollm2.json
    $smollm2 --no-separation --tokens response_mean --most 12 --samples 1 --max-new 100 --activation 2 --gradient 3 \
        --out docs/results/steering-smollm2.json

# every config field with its default, what it may be and what it means; writes docs/config.md
config-reference:
    uv run python -m bench.config_reference

# make the nano model's weights again (about half an hour on one core)
nano-pretrain *args:
    uv run python -m core.studies.nano_pretrain "$@"
