"""Pure analysis: from a trace to its conclusions. No clock, socket, file or scapy in here."""

from observatory.analysis.analyze import analyze

__all__ = ["analyze"]
