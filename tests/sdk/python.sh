# shellcheck shell=bash
# Python packages of the suites, in one private environment. Sourced, never run; sets ROOT.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Looks at what is installed, not at a mark that it left: whoever installed it, it is not done again.
set_up_python() {
  local python="$ROOT/.venv/bin/python" requirements=$1
  [ -x "$python" ] || python3 -m venv "$ROOT/.venv"
  "$python" - "$requirements" <<'PYTHON' 2>/dev/null && return 0
import sys
from importlib.metadata import version
wanted = [line.split("==") for line in open(sys.argv[1]) if "==" in line]
sys.exit(any(version(name) != number.strip() for name, number in wanted))
PYTHON
  "$python" -m pip install -q --disable-pip-version-check -r "$requirements" </dev/null
}
