#!/usr/bin/env python3
"""Writes grafana/dashboards/*.json from grafana/boards.

grafana/generate.py          writes them
grafana/generate.py --check  fails if they are not what it would write
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from boards import access, health, models, overview  # noqa: E402

DASHBOARDS = Path(__file__).resolve().parent / "dashboards"
BOARDS = {"overview": overview, "access": access, "models": models, "health": health}


def written():
    """What each file has to hold, by its path."""
    return {
        DASHBOARDS / f"{name}.json": json.dumps(module.board(), indent=2, ensure_ascii=False) + "\n"
        for name, module in BOARDS.items()
    }


def drifted():
    """The files that are missing, too many, or not what is generated."""
    wanted = written()
    found = {path: path.read_text() for path in DASHBOARDS.glob("*.json")}
    return sorted(path.name for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))


def main(arguments):
    if arguments == ["--check"]:
        wrong = drifted()
        if wrong:
            sys.exit(f"run grafana/generate.py: {', '.join(wrong)}")
    elif arguments:
        sys.exit(__doc__)
    else:
        DASHBOARDS.mkdir(exist_ok=True)
        for path, text in written().items():
            path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
