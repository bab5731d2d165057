"""A sample of data as the toolboxes annotate it."""

from types import SimpleNamespace


class Sample(SimpleNamespace):
    def __contains__(self, name):
        return name in self.__dict__
