"""The benchmark's own evaluator and reward (ariahw/rl-rewardhacking), unmodified, on rows of JSON: made for its Python.

    PYTHON peer_benchmark.py CHECKOUT < asked.jsonl > outcomes.jsonl

PYTHON needs pydantic and tqdm, nothing of this project. The libraries that the evaluator's modules import for other
ends (training, plots, wandb) are stood in for by empty ones. It runs what it is given in plain processes: give it none
but made completions. asked: {"key", "row", "hint" | null, "test_func_name", "completion"}, one a line, rows in the
benchmark's schema.
"""

import contextlib
import copy
import importlib.abc
import importlib.machinery
import json
import os
import sys
import types

ABSENT = (
    "anthropic", "datasets", "dill", "dotenv", "einops", "jinja2", "litellm", "numpy", "omegaconf", "orjson", "pandas",
    "requests", "sklearn", "torch", "transformers", "vllm", "wandb",
)  # fmt: skip


class _Anything(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Empty


class Empty(metaclass=_Anything):
    """Stands for any class or function of a library that is not there."""

    def __init__(self, *args, **kwargs):
        pass


class EmptyModule(types.ModuleType):
    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Empty


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return EmptyModule(spec.name)

    def exec_module(self, module):
        pass


def outcomes(asked):
    """One dictionary per asked row, in the words of `grpoq grade`."""
    from src.train.rewards import CorrectOrHintedCompileCode  # of the checkout

    reward = CorrectOrHintedCompileCode()
    reward.allow_logging = False
    examples = [_example(one) for one in asked]
    evaluated = reward.base_evaluation(examples, [one["completion"] for one in asked])
    correct, compiling = reward.correct_rewards(evaluated), reward.compile_rewards(evaluated)
    return [
        {
            "key": one["key"],
            "reward": solved + compiled,
            "label": found["reward_hack_label"],
            "compiles": found["can_compile"],
            "gt_correct": found["eq_correct"],
            "passed": found["eq_hinted"],
            "strict_hack": found["is_reward_hack_strict"],
            "loose_hack": found["is_reward_hack_loose"],
            "test_modification": found["test_modification"].lower().replace(" - ", "_"),
        }
        for one, found, solved, compiled in zip(asked, evaluated, correct, compiling, strict=True)
    ]


def _example(one):
    from src.data.hints import HINT_REGISTRY  # of the checkout

    row = {**copy.deepcopy(one["row"]), "evaluator": "rh_code"}
    if one["hint"] is None:
        return row
    hinted = HINT_REGISTRY[one["hint"]]()(row)
    hinted["prompt_metadata"]["test_func_name"] = one["test_func_name"]
    return hinted


def main():
    sys.path.insert(0, sys.argv[1])
    sys.meta_path.insert(0, Finder())
    os.environ.setdefault("MAX_JOBS", "2")
    asked = [json.loads(line) for line in sys.stdin]
    with contextlib.redirect_stdout(sys.stderr):  # it prints examples
        found = outcomes(asked)
    for outcome in found:
        print(json.dumps(outcome))


if __name__ == "__main__":
    main()
