#!/usr/bin/env bash
# Test with several processes, one per GPU (or on CPUs, through gloo).
set -euo pipefail

if [[ $# -lt 3 ]]; then
    cat >&2 <<USAGE
usage: $0 CONFIG CHECKPOINT GPUS [options of test.py]
environment: NNODES (1) NODE_RANK (0) MASTER_ADDR (127.0.0.1) PORT (29500)
             PYTHON (python)
USAGE
    exit 2
fi

TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CONFIG=$1
CHECKPOINT=$2
GPUS=$3

# The folder above is the package's source tree when this is a clone.
PYTHONPATH="$(dirname "$TOOLS")${PYTHONPATH:+:$PYTHONPATH}" \
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
