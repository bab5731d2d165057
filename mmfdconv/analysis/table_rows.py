"""What the papers' tables are made of."""

from typing import NamedTuple, Optional, Sequence

__all__ = ['Row', 'Table']


class Row(NamedTuple):
    """One line of a table, in millions; a dash in print for None."""

    model: str
    method: str
    params: Optional[float]
    paper_params: Optional[float]
    madds: Optional[float] = None
    paper_madds: Optional[float] = None
    note: str = ''


class Table(NamedTuple):
    """Rows under one title, and what holds for all of them.

    Attributes:
        title: Above the table.
        rows: Its lines.
        notes: Below the table.
        added: Whether the numbers are what is added to a stock model.
    """

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    added: bool = True
