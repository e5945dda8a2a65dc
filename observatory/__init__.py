"""Observatory: what every socket call does on the wire."""

__version__ = "0.1.0"
