"""Which model types the installed transformers can build as causal language models, read from its source.

Importing it takes seconds and loads torch; a plan only asks for a name.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

TABLE = Path("models") / "auto" / "modeling_auto.py"
NAME = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"


@functools.cache
def causal_model_types() -> frozenset[str]:
    """Empty where transformers is not installed, or keeps its table otherwise: then no type can be judged."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return frozenset()
    try:
        tree = ast.parse((Path(spec.origin).parent / TABLE).read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return frozenset()
    return frozenset(name for node in tree.body for name in _keys(node))


def _keys(node: ast.stmt) -> list[str]:
    """Of NAME = OrderedDict([("key", value), ...])."""
    if not isinstance(node, ast.Assign) or not any(isinstance(t, ast.Name) and t.id == NAME for t in node.targets):
        return []
    pairs = [item for item in ast.walk(node.value) if isinstance(item, ast.Tuple) and len(item.elts) == 2]
    keys = [pair.elts[0] for pair in pairs]
    return [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
