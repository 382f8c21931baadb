"""`grpoq status` of a home as an SVG, for the README: `just status-picture HOME`.

The text is the command's own output at 80 columns, nothing is edited. The picture asks the network for no font.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 80


def picture(home: Path) -> str:
    """SVG text. Raises CalledProcessError where the home holds no plan."""
    command = [sys.executable, "-m", "orchestrator.cli", "--home", str(home), "status"]
    environment = os.environ | {"COLUMNS": str(WIDTH)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ grpoq status\n{said.rstrip()}"), soft_wrap=True)
    svg = console.export_svg(title=" ", unique_id="status")
    return re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    out = Path(sys.argv[2])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(picture(Path(sys.argv[1])))
    print(out)
