"""strace's logs: the grammar, and what a log says as calls and processes of the model.

The options that lose nothing::

    strace -f -y --seccomp-bpf --absolute-timestamps=format:unix,precision:ns \\
        -s 0 -e abbrev=execve -e trace=TRACED -o FILE …

``-s`` cuts arrays too (poll's descriptors, the pair of socketpair, the events of epoll_wait),
unless ``-e abbrev`` leaves their calls out; of execve alone the arrays are long and private.
"""

from observatory.codec.strace.parse import TRACED, StraceLog, parse

__all__ = ["TRACED", "StraceLog", "parse"]
