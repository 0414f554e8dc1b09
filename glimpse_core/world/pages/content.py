"""What a page says before anything is laid out: a table with named columns, its headings, notes and totals.

A column knows how it is asked for and answered in English, so that questions need no list of kinds of pages. This file
knows nothing of pixels.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        kind: kind of its cells: ``time``, ``place``, ``price``, ...; no two columns of a page share it unless `headed`.
        head: text over the column; ``""`` for none.
        asks: questions for one cell; ``{row}`` is replaced by a name of the row. Empty: never asked for.
        says: the answer; ``{}`` is replaced by the cell.
        row: how a row is called by this cell, ``the train to {}``; ``""`` if it never names a row.
        one: condition on this cell after ``the train that``: ``goes to {}``; ``""`` for none.
        many: the same after ``How many trains``: ``go to {}``; without ``{}`` it stands for the first of `values`.
        values: what the cells are drawn from, where conditions may also be asked that no row fulfills.
        extremes: pairs of a question for a row and whether the highest (True) or lowest value answers it.
        together: question for the sum of two cells with ``{}`` twice; ``""`` for none.
        inverse: question for the row of one cell, ``Where is bus K4 at {}?``; ``""`` for none.
        right: align to the right.
        headed: only the head tells this column from its neighbors.
        essential: never left out, however narrow the page.
    """

    kind: str
    head: str = ""
    asks: tuple[str, ...] = ()
    says: str = "It is {}."
    row: str = ""
    one: str = ""
    many: str = ""
    values: tuple[str, ...] = ()
    extremes: tuple[tuple[str, bool], ...] = ()
    together: str = ""
    inverse: str = ""
    right: bool = False
    headed: bool = False
    essential: bool = False


@dataclass(frozen=True)
class Fact:
    """A labeled value beside the table, such as a receipt's total.

    Args:
        label: text of the label.
        value: text of the value.
        asks: the questions that the value answers.
        says: the answer; ``{}`` is replaced by the value.
    """

    label: str
    value: str
    asks: tuple[str, ...]
    says: str = "It is {}."


@dataclass(frozen=True)
class Content:
    """Everything a page says.

    Args:
        kind: kind of the page: ``departures``, ``menu``, ...
        sort: what such a page is called in a sentence: ``departure board``.
        heading: large text that names the sort: ``Departures``.
        title: whose page it is: ``Larkhaven Station``.
        icon: name of the ornament beside the heading.
        noun: what a row is: ``train``.
        nouns: plural of `noun`.
        columns: the columns from left to right.
        rows: one text per column; ``""`` leaves a cell empty.
        naming: index of the column that names a row in answers.
        listed: yes/no questions for a name; ``{}`` is replaced by the name.
        absent: names that could stand in the naming column and do not.
        sections: pairs of a heading and the index of the first row below it.
        states: per row ``""``, ``crossed`` or ``marked``; decoration only.
        facts: shown between heading and table.
        totals: shown below the table.
        notes: small print; never asked for.
    """

    kind: str
    sort: str
    heading: str
    title: str
    icon: str
    noun: str
    nouns: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    naming: int
    listed: tuple[str, ...]
    absent: tuple[str, ...] = ()
    sections: tuple[tuple[str, int], ...] = ()
    states: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    totals: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()

    def without(self, column: int) -> "Content":
        """The same content with one column left out."""
        return replace(
            self,
            columns=self.columns[:column] + self.columns[column + 1 :],
            rows=tuple(row[:column] + row[column + 1 :] for row in self.rows),
            naming=self.naming - (column < self.naming),
        )


@dataclass(frozen=True)
class Room:
    """How much a page can hold.

    Args:
        rows: number of rows to fill.
        characters: letters that fit side by side.
    """

    rows: int
    characters: int
