"""What the sightings say of a segment that was lost, in words that rules and causes can quote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from observatory.analysis.conversations import Kind, Sighting

MOST_NUMBERS = 4


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
    return how_far(copies)


def how_far(lost: Sequence[Sighting]) -> str:
    """``#1 came no further than router:eth0``; of several, by how far they came. Empty for none."""
    by_place: dict[str, list[Sighting]] = {}
    for one in lost:
        if one.lost_after:
            by_place.setdefault(one.lost_after, []).append(one)
    return ", ".join(
        f"{_numbers(here)} came no further than {place}" for place, here in by_place.items()
    )


def silence(sent: Sequence[Sighting]) -> str:
    """A sentence, with a blank before it, on what became of segments that nothing answered; empty
    where their way was not seen."""
    if not sent or sent[0].conversation.arrivals is None:
        return ""
    receiver = sent[0].segment.dst
    lost = [one for one in sent if one.lost_after]
    if not lost:
        they = "It" if len(sent) == 1 else "Each of them"
        return f" {they} came to the host of {receiver}, which kept silent."
    places = {one.lost_after for one in lost}
    if len(lost) == len(sent) and len(places) == 1:
        if len(sent) == 1:
            return f" It came no further than {places.pop()}: {receiver} never got it."
        return f" None of them came further than {places.pop()}: {receiver} never got one."
    return f" On its way {how_far(lost)}."


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
        return f"#{first.id} had come, but its ACK {how_far(answers)}"
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
    """``#1 and #2``; a long run is cut in the middle."""
    shown = [f"#{one.id}" for one in sightings]
    if len(shown) > MOST_NUMBERS:
        return f"{shown[0]}, {shown[1]}, … and {shown[-1]}"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
