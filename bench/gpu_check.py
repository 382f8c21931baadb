"""One visit to a GPU: what cannot be shown without one, in eight minutes. `python bench/gpu_check.py --out FILE`.

Each phase leaves one line of JSON with what it found and whether it passed; last comes a table of all of them.
`--device cpu --tiny` rehearses it on a machine without a GPU, where nothing is judged that only a GPU can show.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    # Of this file's own folder nothing is imported by its bare name: its queue.py would be taken for Python's own.
    sys.path[:] = [str(here.parent), *(place for place in sys.path if place != str(here))]
    from bench.gpu.visit import main

    raise SystemExit(main())
