"""Journals for tests: one to write to, and what was written to it."""

from observatory.sources.journal import Journal
from observatory.sources.journal_reader import read_journals


class Recorder:
    def __init__(self, folder):
        self.folder = folder
        self.journal = Journal(folder, "tester", "pytest")

    @property
    def calls(self):
        return read_journals(self.folder).calls

    @property
    def names(self):
        return [call.name for call in self.calls]

    def last(self, name=None):
        return [call for call in self.calls if name in (None, call.name)][-1]
