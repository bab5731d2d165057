"""Tables in Markdown."""

import pytest

from mmfdconv.analysis.text_table import markdown

pytestmark = pytest.mark.core

ROWS = [('name', 'n'), ('a', '100'), ('wide one', '7')]


def test_columns_are_padded_by_their_rule():
    assert markdown(ROWS, [':--', '--:']).splitlines() == [
        '| name     |   n |',
        '| :--      | --: |',
        '| a        | 100 |',
        '| wide one |   7 |',
    ]


def test_or_not_at_all():
    assert markdown(ROWS[:2], ['--', '--'], pad=False) == (
        '| name | n |\n| -- | -- |\n| a | 100 |'
    )
