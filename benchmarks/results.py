"""Figures in a JSON file that is whole after every record, so that a run that breaks off can go on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Results:
    """The machine, and one record for each measurement.

    Parameters
    ----------
    about
        What all records share (``machine.describe``).
    path
        File to write after every record; None: keep them in memory.
    resume
        Start from the records that the file has, if it is there.

    Raises
    ------
    SystemExit
        The file was made on another machine, or with another commit or other versions: figures of two would be mixed.
    """

    def __init__(self, about: Record, path: Path | None = None, resume: bool = False) -> None:
        self.about = about
        self.records: list[Record] = []
        self._path = path
        if resume and path is not None and path.exists():
            earlier_about, self.records = read(path)
            differing = [key for key in about if key != "limits" and about[key] != earlier_about.get(key)]
            if differing:
                raise SystemExit(f"{path} cannot be resumed: {', '.join(differing)} differ from this run's")
            self.about = earlier_about

    def find(self, key: Record) -> Record | None:
        """Return the record that has these entries."""
        return next((record for record in self.records if key.items() <= record.items()), None)

    def add(self, *records: Record) -> None:
        """Keep records, and write the file anew."""
        self.records += records
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(each) for each in self.records)
        text = f'{{"machine": {json.dumps(self.about)},\n"records": [\n{lines}\n]}}\n'
        unfinished = self._path.with_name(self._path.name + ".part")
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, self._path)


def read(path: Path) -> tuple[Record, list[Record]]:
    """Return the machine and the records of a file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["machine"], content["records"]
