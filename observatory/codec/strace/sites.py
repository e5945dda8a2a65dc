"""Where a call was made, from the stack that ``strace -k`` prints behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from observatory.model import Site

_FRAME = re.compile(r"(?P<file>[^()]*)(?:\((?P<function>[^()]*)\))? \[0x[0-9a-f]+\]")
_LIBC = re.compile(
    r"(?:.*/)?(?:lib(?:c|pthread)(?:-[\d.]+|\.musl[\w-]*)?\.so|ld-(?:linux|musl|[\d.]+\.so)|\[?vdso)"
)


def site_of(frames: Iterable[str]) -> Site | None:
    """The innermost frame outside the C library: ``curl(multi_runsingle+0x1d)``, line 0."""
    for frame in frames:
        found = _FRAME.match(frame)
        if found is None or _LIBC.match(found["file"]):
            continue
        program = found["file"].rsplit("/", 1)[-1]
        function = found["function"]
        return Site(f"{program}({function})" if function else program, 0)
    return None
