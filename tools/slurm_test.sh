#!/usr/bin/env bash
# Test on a Slurm cluster, one task per GPU.
set -euo pipefail

if [[ $# -lt 4 ]]; then
    cat >&2 <<USAGE
usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
environment: GPUS (8) GPUS_PER_NODE (8) CPUS_PER_TASK (5)
             SRUN_ARGS (more options of srun, split at blanks) PYTHON (python)
USAGE
    exit 2
fi

TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
CHECKPOINT=$4
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}

# SRUN_ARGS holds several words, so it stays unquoted.
# shellcheck disable=SC2086
PYTHONPATH="$(dirname "$TOOLS")${PYTHONPATH:+:$PYTHONPATH}" \
exec srun -p "$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" \
    --launcher slurm "${@:5}"
