"""The program `grpoq`, whatever else is called core, worker or orchestrator where it is started.

The console script calls `main`; what outlives the terminal runs this file by its path (`python -P grpoq_entry.py ...`).
PYTHONPATH and the script's own directory add modules, and shadow none: of the standard library, of an installed
package, or of ours.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = ("core", "worker", "orchestrator")


def main() -> None:
    _put_last(_given_paths())
    for name in PACKAGES:
        _bind(name)
    from orchestrator.cli import main as grpoq

    grpoq()


def _given_paths() -> set[str]:
    """What stands in front of the standard library, as `site` has written it into sys.path."""
    given = os.environ.get("PYTHONPATH")
    paths = [] if not given or sys.flags.ignore_environment else given.split(os.pathsep)  # an empty one is the cwd
    script = [] if sys.flags.safe_path else sys.path[:1]
    return {os.path.abspath(path) for path in (*script, *paths)}


def _put_last(paths: set[str]) -> None:
    sys.path.sort(key=lambda path: os.path.abspath(path) in paths)  # stable


def _bind(name: str) -> None:
    """Import the package from beside this file: its modules are then found there, without sys.path."""
    from importlib.util import module_from_spec, spec_from_file_location

    folder = os.path.join(HERE, name)
    spec = spec_from_file_location(name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main()
