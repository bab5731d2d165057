#!/usr/bin/env bash
# Make the environment of a stack, unless it is there: finds Python 3.11 and
# leaves the rest to setup_env.py.
#   setup_env.sh [STACK [FOLDER]]
# PYTHON names the interpreter to use; PIP_FIND_LINKS and pip's own settings
# are honoured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stack=${1:-onedl}
folder=${2:-}
needed=3.11

version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
  candidates=("$PYTHON")
else
  candidates=("python$needed" python3 python "/usr/bin/python$needed")
  # The interpreter that an earlier run found may have left the PATH.
  [ -z "$folder" ] || candidates+=("$folder/bin/python")
fi

seen=()
for candidate in "${candidates[@]}"; do
  version=$(version_of "$candidate") || continue
  if [ "$version" = "$needed" ]; then
    exec "$candidate" .dev_scripts/setup_env.py "$stack" ${folder:+"$folder"}
  fi
  seen+=("$candidate is $version")
done

found=$(IFS=,; echo "${seen[*]:-no Python in ${candidates[*]}}")
echo "error: the pinned environments need Python $needed, but found ${found//,/, };" \
  "install it (Debian 12: apt install python3 python3-venv python3-dev)" \
  "or name it: make ... PYTHON=/path/to/python$needed" >&2
exit 1
