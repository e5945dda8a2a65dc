"""Asks tshark what it sees in a capture file: through pyshark, or its field output.

pyshark gives tshark's full dissection but takes about a millisecond a packet; beyond
``PYSHARK_LIMIT`` packets the same fields are asked from tshark itself. tshark reads the file
twice (``-2``), because only then every row has its conversation's final completeness.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from observatory.errors import BadFile, MissingTool
from observatory.model.opinions import SecondOpinion, SharkRow

PYSHARK_LIMIT: Final = 2_000
"""Packets; about two seconds."""

NUMBER, TIME, PROTOCOLS = "frame.number", "frame.time_epoch", "frame.protocols"
STREAM, FLAGS, LENGTH = "tcp.stream", "tcp.flags", "tcp.len"
SEQ, ACK, COMPLETENESS = "tcp.seq", "tcp.ack", "tcp.completeness"
ANALYSIS: Final = "tcp.analysis."
MARKS: Final = (
    "retransmission",
    "fast_retransmission",
    "spurious_retransmission",
    "out_of_order",
    "keep_alive",
    "zero_window_probe",
    "lost_segment",
    "ack_lost_segment",
    "reused_ports",
)
FIELDS: Final = (
    *(NUMBER, TIME, PROTOCOLS, STREAM, FLAGS, LENGTH, SEQ, ACK, COMPLETENESS),
    *(ANALYSIS + mark for mark in MARKS),
)
FLAG_BITS: Final = tuple(
    zip("SFRPAUEC", (0x02, 0x01, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80), strict=True)
)
PREFERENCES: Final = {
    "tcp.relative_sequence_numbers": "TRUE",
    "tcp.analyze_sequence_numbers": "TRUE",
}
TWO_PASSES: Final = ("-2", "-n")
CALL_ROW: Final = "systemd_journal"
ICMP: Final = frozenset({"icmp", "icmpv6"})


def dissect(path: Path | str, packets: int | None = None) -> SecondOpinion:
    """What tshark says of the packets in ``path``; ``packets`` is about how many there are.

    Rows of calls (journal entries between the packets) are left out. Of a file that is cut
    short, the packets before the cut. Raises MissingTool without tshark, BadFile when it can
    read nothing of the file.
    """
    tshark = shutil.which("tshark")
    if tshark is None:
        raise MissingTool("tshark is not installed: sudo apt install tshark")
    if packets is not None and packets <= PYSHARK_LIMIT:
        rows = _by_pyshark(Path(path), tshark)
        if rows:
            return SecondOpinion(rows, f"pyshark over {_version(tshark)}")
    return SecondOpinion(_by_fields(Path(path), tshark), _version(tshark))


def _version(tshark: str) -> str:
    answer = subprocess.run([tshark, "--version"], capture_output=True, text=True, check=False)
    # «TShark (Wireshark) 4.0.17 (Git v4.0.17 …).»
    words = answer.stdout.split()
    return f"tshark {words[2]}" if len(words) > 2 else "tshark"


def _by_fields(path: Path, tshark: str) -> tuple[SharkRow, ...]:
    """The rows from ``tshark -T fields``."""
    preferences = [f"{name}:{value}" for name, value in PREFERENCES.items()]
    command = [tshark, *TWO_PASSES, "-r", str(path), "-T", "fields", "-E", "occurrence=f"]
    command += [word for preference in preferences for word in ("-o", preference)]
    command += [word for name in FIELDS for word in ("-e", name)]
    answer = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if answer.returncode and not answer.stdout:
        said = answer.stderr.strip().splitlines()
        raise BadFile(f"tshark cannot read {path}: {said[-1] if said else 'it says not why'}")
    return _rows(
        dict(zip(FIELDS, line.split("\t"), strict=False)) for line in answer.stdout.splitlines()
    )


def _by_pyshark(path: Path, tshark: str) -> tuple[SharkRow, ...]:
    """The rows from pyshark; none when tshark can read nothing of the file.

    In a thread of its own: pyshark fails in a thread that has, or has had, an event loop.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(lambda: _rows(_pyshark_fields(path, tshark))).result()


def _pyshark_fields(path: Path, tshark: str) -> Iterator[Mapping[str, str]]:
    # Loaded here: 0.1 s that only a check need pay.
    import pyshark

    class PatientCapture(pyshark.FileCapture):  # type: ignore[misc]
        """Waits for tshark's end. pyshark itself kills it, perhaps while asyncio is collecting
        the status of one that has already ended, and then takes that for a crash; it also throws
        away, once more in __del__, what there is of a file that is cut short."""

        async def _cleanup_subprocess(self, process: Any) -> None:
            await process.wait()

    with (
        closing(asyncio.new_event_loop()) as loop,
        # JSON, because pyshark's default (XML) is seven times slower.
        PatientCapture(
            str(path),
            tshark_path=tshark,
            keep_packets=False,
            use_json=True,
            override_prefs=dict(PREFERENCES),
            custom_parameters=list(TWO_PASSES),
            eventloop=loop,
        ) as capture,
    ):
        yield from map(_first_values, capture)


def _first_values(packet: Any) -> Mapping[str, str]:
    """The fields of a pyshark packet that we ask for, from its outermost TCP layer."""
    found = {NUMBER: str(packet.number), TIME: str(packet.sniff_timestamp)}
    found[PROTOCOLS] = str(packet.frame_info.protocols)
    for layer in packet.layers:
        if layer.layer_name == "tcp":
            found.update(_flatten(layer._all_fields))
            break
    return found


def _flatten(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, Mapping):
                yield from _flatten(each)
            else:
                # A mark is present with no value.
                yield name, "1" if name.startswith(ANALYSIS) else str(each)


def _rows(packets: Iterable[Mapping[str, str]]) -> tuple[SharkRow, ...]:
    return tuple(_row(packet) for packet in packets if packet.get(PROTOCOLS, "") != CALL_ROW)


def _row(packet: Mapping[str, str]) -> SharkRow:
    number, time_ns = int(packet[NUMBER]), _nanoseconds(packet[TIME])
    if not _is_tcp(packet[PROTOCOLS]):
        return SharkRow(number, time_ns)
    return SharkRow(
        number,
        time_ns,
        stream=_integer(packet.get(STREAM)),
        flags=_letters(int(packet.get(FLAGS) or "0", 16)),
        relative_seq=_integer(packet.get(SEQ)),
        relative_ack=_integer(packet.get(ACK)),
        length=_integer(packet.get(LENGTH)) or 0,
        marks=frozenset(mark for mark in MARKS if packet.get(ANALYSIS + mark)),
        completeness=_integer(packet.get(COMPLETENESS)),
    )


def _is_tcp(protocols: str) -> bool:
    """False too for an ICMP error that quotes a TCP header (``…:icmp:ip:tcp``)."""
    names = protocols.split(":")
    return "tcp" in names and not ICMP & set(names[: names.index("tcp")])


def _nanoseconds(epoch: str) -> int:
    seconds, _point, fraction = epoch.partition(".")
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)


def _letters(bits: int) -> str:
    return "".join(letter for letter, bit in FLAG_BITS if bits & bit)


def _integer(text: str | None) -> int | None:
    return int(text) if text else None
