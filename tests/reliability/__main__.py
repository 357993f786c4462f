"""`make reliability`: run the whole matrix and write its table into docs/reliability.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.reliability import report
from tests.reliability.matrix import Cell, every_cell, grounds


def main() -> None:
    """All cells, one after the other."""
    cells: list[Cell] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as directory, grounds(Path(directory)) as (plain, locked):
        for verb, storm, season in every_cell():
            try:
                cell = (locked if storm.login else plain).run(verb, storm, season)
            except AssertionError as error:
                wrong.append(str(error))
                print(error, flush=True)
                continue
            print(f"{verb}, {storm.told}, {season}: exit {cell.status} after {cell.seconds:.2f} s", flush=True)
            cells.append(cell)
    if wrong:
        sys.exit(f"{len(wrong)} outcomes are wrong; the page stays as it was")
    report.write("matrix", report.matrix(cells))


if __name__ == "__main__":
    main()
