#!/usr/bin/env bash
# The whole way of an experiment, in minutes and without COCO: make a dataset,
# train, test, look. `make demo` sets up the environment and calls this.
#   PYTHON  interpreter of an environment with mmdet (default: python)
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON=${PYTHON:-python}
CONFIG=configs/mmdet/shapes/mask-rcnn_r18-fdconv_fpn_shapes.py
DATA=data/shapes
WORK_DIR=work_dirs/demo
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
# One thread, whatever else runs: on two cores a second thread gains a quarter
# where nothing else runs, and makes everything three times slower where
# something does, because the two wait for each other at every operation.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

say() { printf '\n=== %s ===\n' "$*"; }

SECONDS=0
say "1/4 Dataset: $DATA"
"$PYTHON" tools/demo/make_data.py "$DATA" --overwrite

say "2/4 Training: $CONFIG (the longest part, a few minutes)"
if [ -e "$WORK_DIR" ]; then
    echo "$WORK_DIR: removed, the demo trains from the start"
    rm -rf "$WORK_DIR"
fi
"$PYTHON" tools/train.py "$CONFIG" --work-dir "$WORK_DIR/train"

say '3/4 Testing the checkpoint'
CHECKPOINT=$(cat "$WORK_DIR/train/last_checkpoint")
"$PYTHON" tools/test.py "$CONFIG" "$CHECKPOINT" \
    --work-dir "$WORK_DIR/test" --show-dir predictions

say '4/4 Result'
"$PYTHON" tools/demo/report.py "$WORK_DIR" --seconds "$SECONDS"
