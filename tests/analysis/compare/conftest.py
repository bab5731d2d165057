"""Logs that several tests read."""

import json

import pytest

from .logs import LINES, epoch, write_log


@pytest.fixture
def scalars(tmp_path):
    path = tmp_path / 'scalars.json'
    path.write_text(''.join(json.dumps(line) + '\n' for line in LINES))
    return path


@pytest.fixture
def resumed(tmp_path):
    """Stopped in its third epoch, then resumed from the second one."""
    folder = tmp_path / 'resumed'
    first = [*epoch(1, 4.0, mIoU=10.0), *epoch(2, 3.0, mIoU=30.0)]
    write_log(folder, '20260101_000000', [*first, *epoch(3, 9.0)[:1]])
    again = [*epoch(3, 2.0, mIoU=20.0), *epoch(4, 1.0, mIoU=25.0)]
    write_log(folder, '20260102_000000', again)
    return folder


@pytest.fixture
def by_iter(tmp_path):
    """Counts iterations; validated between two logged steps."""
    folder = tmp_path / 'by_iter'
    lines = [
        dict(loss=2.0, iter=50, step=50),
        dict(mIoU=40.0, aAcc=70.0, step=80),
        dict(loss=1.0, iter=100, step=100),
        dict(mIoU=50.0, aAcc=60.0, step=160),
    ]
    write_log(folder, '20260101_000000', lines)
    return folder
