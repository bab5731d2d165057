"""Names of files that cannot be written are refused."""

import pytest

from mmfdconv.analysis.outputs import check_output, check_suffix

pytestmark = pytest.mark.core


def test_suffixes():
    check_suffix('a.CSV', ('.csv', '.json'))
    with pytest.raises(
        ValueError, match=r"^table: 'a\.txt' must end with \.md or \.csv$"
    ):
        check_suffix('a.txt', ('.md', '.csv'), 'table')
    with pytest.raises(ValueError, match=r"^out: 'a' must end with \.md$"):
        check_suffix('a', ['.md'])


def test_folders(tmp_path):
    check_output(None, ['.md'])
    check_output(tmp_path / 'a.csv')
    with pytest.raises(ValueError, match='out: the folder .* does not exist'):
        check_output(tmp_path / 'none' / 'a.csv')
    with pytest.raises(ValueError, match=r"'a\.csv' must end with \.md$"):
        check_output('a.csv', ['.md'])


def test_what_is_read_or_locked_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / 'a.csv'
    check_output(path, inputs=[path, 'https://a/b.csv'])  # none exists yet
    path.touch()
    with pytest.raises(ValueError, match='would replace what is read'):
        check_output(path, inputs=[tmp_path / '.' / 'a.csv'])
    with pytest.raises(ValueError, match='is a folder, not a file'):
        check_output(tmp_path)
    monkeypatch.setattr('os.access', lambda path, mode: False)
    with pytest.raises(ValueError, match='cannot be written, for lack of'):
        check_output(path)
