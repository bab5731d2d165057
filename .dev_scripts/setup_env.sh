#!/usr/bin/env bash
# Make the pinned environment of a stack, unless it is there.
#   setup_env.sh [STACK [FOLDER]]
# PYTHON names the interpreter to use. uv does the work; its settings (UV_...)
# and PIP_FIND_LINKS are honoured, and its cache keeps a compiled mmcv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONPATH  # builds shall see the environment alone

stack=${1:-onedl}
needed=3.11
# With an empty cache, measured: the environment and uv's cache share files.
needed_gb=9

say() { printf '[%2d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"; }
fail() {
  echo "error: $*" >&2
  exit 1
}

case $stack in
  onedl) mmcv=onedl-mmcv folder=.venv ;;
  openmmlab) mmcv=mmcv folder=.venv-openmmlab ;;
  *) fail "STACK=$stack is not known; use STACK=onedl or STACK=openmmlab" ;;
esac
# A link stays, and its target is made: CI keeps environments aside.
folder=$(realpath -m "${2:-$folder}")
stamp=$folder/mmfdconv-stamp
pins=$PWD/requirements/$stack.txt
python=$folder/bin/python

find_python() {
  local candidate version seen=
  local candidates=("python$needed" python3 python "/usr/bin/python$needed")
  [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' \
      2>/dev/null) || continue
    if [ "$version" = "$needed" ]; then
      echo "$candidate"
      return
    fi
    seen+=", $candidate is $version"
  done
  seen=${seen:-, no Python in ${candidates[*]}}
  fail "the pinned environments need Python $needed, but found ${seen#, };" \
    'install it (Debian 12: apt install python3 python3-venv python3-dev) or' \
    "name it: make ... PYTHON=/path/to/python$needed"
}

make_folder() {
  local base free existing=$folder
  if [ -n "$(ls -A "$folder" 2>/dev/null)" ] && [ ! -f "$stamp" ]; then
    fail "$folder exists but was not made by this Makefile; move it away or" \
      'choose another place: make ... VENV=/path/to/environment'
  fi
  base=$(find_python)
  until [ -e "$existing" ]; do existing=$(dirname "$existing"); done
  [ -w "$existing" ] || fail "cannot write to $existing; make the folder" \
    'writable or choose another one: make ... VENV=/path/to/environment'
  free=$(df --output=avail --block-size=1G "$existing" | tail -n 1 | tr -d ' ')
  [ "$free" -ge "$needed_gb" ] || fail "not enough disk space: $needed_gb GB" \
    "are needed and $free GB are free at $existing; free some, or choose" \
    'another place: make ... VENV=/path/to/environment'
  say "Making the environment of stack $stack in $folder"
  # An unfinished one is made anew: what uv has in its cache takes seconds.
  rm -rf "$folder" && mkdir -p "$folder" && touch "$stamp"
  "$base" -m venv "$folder" || fail "$base cannot make virtual" \
    'environments (Debian: apt install python3-venv)'
}

uv() { VIRTUAL_ENV=$folder "$folder/bin/uv" "$@"; }

# What a build of mmcv's operators needs, before the download of torch.
check_compiler() {
  local include
  command -v "${CXX:-c++}" >/dev/null || fail "mmcv's operators must be" \
    "compiled, but there is no C++ compiler (${CXX:-c++} was not found);" \
    'install one (Debian: apt install g++) or name a folder with an mmcv' \
    'wheel in PIP_FIND_LINKS'
  include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
  [ -e "$include/Python.h" ] || fail "mmcv's operators must be compiled, but" \
    "Python's headers are missing ($include/Python.h); install them (Debian:" \
    'apt install python3-dev) or name a folder with an mmcv wheel in' \
    'PIP_FIND_LINKS'
}

# Run a command and say, every half minute, how far compilers are.
with_heartbeat() {
  "$@" &
  local job=$! began=$SECONDS
  trap 'kill "$job" 2>/dev/null || true' EXIT
  while kill -0 "$job" 2>/dev/null; do
    sleep 1
    if [ $(((SECONDS - began) % 30)) -eq 29 ]; then
      say "  ... $(find "$(uv cache dir)" -newer "$folder/pyvenv.cfg" \
        -name '*.o' 2>/dev/null | wc -l) files of mmcv compiled"
      sleep 1
    fi
  done
  trap - EXIT
  wait "$job"
}

install() {
  local arguments=(--no-build-isolation)
  # uv does not read pip's settings.
  export UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}
  UV_FIND_LINKS=${UV_FIND_LINKS// /,}
  if ! uv pip install --quiet --dry-run --no-deps --only-binary "$mmcv" \
    -c "$pins" "$mmcv" 2>/dev/null; then
    check_compiler
    say "No mmcv wheel: its operators are compiled, once, in about 12 minutes"
  fi
  # mmcv compiles its operators against the torch that is there.
  say 'Installing torch'
  uv pip install -c "$pins" torch torchvision setuptools wheel ninja packaging
  # A machine with a GPU but without its compiler can only build for the CPU.
  command -v nvcc >/dev/null || export CUDA_VISIBLE_DEVICES=
  export MAX_JOBS=${MAX_JOBS:-$(nproc)}
  say 'Installing the toolboxes'
  with_heartbeat uv pip sync "${arguments[@]}" "$pins"
  if ! "$python" -c 'import mmcv.ops' 2>/dev/null; then
    say 'The mmcv wheel does not fit this torch: compiling its operators'
    check_compiler
    with_heartbeat uv pip install "${arguments[@]}" --no-deps --no-binary "$mmcv" \
      --refresh-package "$mmcv" --reinstall-package "$mmcv" -c "$pins" "$mmcv"
    "$python" -c 'import mmcv.ops'
  fi
}

mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock -n 9 || { say "Waiting for a run that works on $folder" && flock 9; }
made="$stack $(cat "$pins" .dev_scripts/setup_env.sh | sha256sum)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$made" ] || ! "$python" -c '' 2>/dev/null; then
  make_folder
  "$python" -m pip install --quiet -c "$pins" uv
  install
  echo "$made" >"$stamp"
  say 'The environment is ready'
fi

# The working tree's mmfdconv, from anywhere. A path file and no `-e`:
# MMEngine 0.10.7 looks for an editable install's configs in site-packages.
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$PWD" >"$site/mmfdconv-working-tree.pth"
"$python" setup.py --quiet link_mim
