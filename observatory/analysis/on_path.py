"""Segments that nobody at either end sent: the path made them."""

from __future__ import annotations

from observatory.analysis.conversations import Sighting
from observatory.analysis.scene import Scene
from observatory.model import Cause, CauseKind, Confidence


def copied(scene: Scene, sighting: Sighting) -> Cause:
    """A second copy of a segment, or a part of it, that its sender sent once."""
    original = sighting.original
    assert original is not None
    whole = original.segment.length == sighting.segment.length
    what = "duplicated on the path" if whole else "cut in parts on the path"
    sure = Confidence.LIKELY if scene.lossy else Confidence.CERTAIN
    return Cause(
        CauseKind.PATH, f"{what}, seen first at {sighting.made_at}", sure, segment=original.id
    )


def forged_reset(scene: Scene, sighting: Sighting) -> Cause | None:
    """A RST that a host on the path sent in its sender's place, to the last segment that it had
    let go no further (a firewall's reject with tcp reset)."""
    if not sighting.made_at:
        return None
    host = sighting.made_at
    stopped = next(
        (
            one
            for one in scene.conversation.before(sighting.time_ns)
            if one.half is sighting.other and one.lost_after.partition(":")[0] == host
        ),
        None,
    )
    sure = Confidence.LIKELY if scene.lossy else Confidence.CERTAIN
    sender = sighting.segment.src
    reason = f"RST: {host} sent it in the name of {sender}, which did not"
    return Cause(CauseKind.PATH, reason, sure, segment=stopped.id if stopped else None)
