#!/usr/bin/env bash
# Train with several processes, one per GPU (or on CPUs, through gloo).
set -euo pipefail

if [[ $# -lt 2 ]]; then
    cat >&2 <<USAGE
usage: $0 CONFIG GPUS [options of train.py]
environment: NNODES (1) NODE_RANK (0) MASTER_ADDR (127.0.0.1) PORT (29500)
             PYTHON (python)
USAGE
    exit 2
fi

TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CONFIG=$1
GPUS=$2

# The folder above is the package's source tree when this is a clone.
PYTHONPATH="$(dirname "$TOOLS")${PYTHONPATH:+:$PYTHONPATH}" \
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$TOOLS/train.py" "$CONFIG" --launcher pytorch "${@:3}"
