"""What the sightings say of a segment that was lost, in words that rules and causes can quote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from observatory.analysis.conversations import Kind, Sighting


def why_sent_again(again: Sighting) -> str:
    """Why its sender had no answer to what ``again`` repeats: it was lost on the path (where), its
    ACK was, or it was still under way. Empty where the way of the segments was not seen."""
    if again.conversation.arrivals is None:
        return ""
    copies = _before(again)
    came = [one for one in copies if one.arrived_ns < again.time_ns]
    if came:
        return _why_unanswered(came, again)
    under_way = [one for one in copies if not one.lost_after]
    if under_way:
        return f"{_numbers(under_way)} had not come yet"
    return lost_after(copies)


def lost_after(lost: Sequence[Sighting]) -> str:
    """``#1 was lost after router:eth0``; of several, by where they were lost. Empty for none."""
    by_place: dict[str, list[Sighting]] = {}
    for one in lost:
        if one.lost_after:
            by_place.setdefault(one.lost_after, []).append(one)
    return ", ".join(
        f"{_numbers(here)} {'was' if len(here) == 1 else 'were'} lost after {place}"
        for place, here in by_place.items()
    )


def _why_unanswered(came: Sequence[Sighting], again: Sighting) -> str:
    """One had come: what became of its ACKs."""
    first = came[0]
    answers = [
        one
        for one in again.conversation.sightings
        if one.half is again.other
        and not one.made_at
        and first.arrived_ns <= one.time_ns < again.time_ns
        and (one.ack or 0) >= again.end
    ]
    if not answers:
        return f"#{first.id} had come, and was not answered yet"
    if all(one.lost_after for one in answers):
        return f"#{first.id} had come, but its ACK {lost_after(answers)}"
    if all(one.arrived_ns > again.time_ns for one in answers):
        return f"#{first.id} had come, and its ACK #{answers[0].id} was still under way"
    return ""


def _before(again: Sighting) -> list[Sighting]:
    """Those that showed any of the same bytes, SYN or FIN before, oldest first."""
    since = again.original.id if again.original else again.id
    found = []
    for one in again.conversation.before(again.time_ns):
        if one.id < since:
            break
        overlaps = one.seq < again.end and again.seq < one.end
        sent = one.half is again.half and one.id < again.id and one.kind is not Kind.COPY
        if sent and overlaps and not one.made_at:
            found.append(one)
    return found[::-1]


def _numbers(sightings: Iterable[Sighting]) -> str:
    return ", ".join(f"#{one.id}" for one in sightings)
