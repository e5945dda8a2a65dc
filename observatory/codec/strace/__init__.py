"""strace's logs: the grammar, and what a log says as calls and processes of the model."""

from observatory.codec.strace.parse import StraceLog, parse

__all__ = ["StraceLog", "parse"]
