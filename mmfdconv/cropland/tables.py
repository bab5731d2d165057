"""Tables in CSV, as spreadsheets save them."""

import csv
import io
from pathlib import Path
from typing import Dict, List, Union

__all__ = ['read_table']


def read_table(path: Union[str, Path]) -> List[Dict[str, str]]:
    """Read the rows of a table; commas, semicolons or tabs divide cells.

    Raises:
        ValueError: It is not in UTF-8.
    """
    try:
        text = Path(path).read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path} is not in UTF-8 ({error}); save it as "CSV UTF-8"'
        ) from error
    head = text.partition('\n')[0]
    delimiter = max(',;\t', key=head.count)
    return [*csv.DictReader(io.StringIO(text), delimiter=delimiter)]
