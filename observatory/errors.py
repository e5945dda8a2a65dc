"""Every error the observatory raises, and the exit status each becomes.

::

    ObservatoryError
    ├── UsageError            2   the request cannot be carried out as asked
    ├── PermissionRefused     3   the system does not let us capture or make a namespace
    ├── CaptureError          4   capturing began or should have begun, and failed
    ├── BadFile               5   a file is not what it should be, or cannot be read
    ├── ScenarioFailed        6   a behaviour's own process failed before it was done
    ├── MissingTool           7   a program or kernel feature that is needed is not there
    └── WriteFailed           8   a result could not be written (disk full, no permission)

An observed failure (a refused connection, a lost packet) is never an exception: it is data.
Interruption by the user exits with 130, as shells expect. Every message says what to do.
"""

from __future__ import annotations


class ObservatoryError(Exception):
    """The root. ``exit_status`` is the command's exit status when it ends with this error."""

    exit_status = 1


class UsageError(ObservatoryError):
    """The request cannot be carried out as asked."""

    exit_status = 2


class PermissionRefused(ObservatoryError):
    """The system does not let us capture or make a namespace."""

    exit_status = 3


class CaptureError(ObservatoryError):
    """Capturing began or should have begun, and failed."""

    exit_status = 4


class BadFile(ObservatoryError):
    """A file is not what it should be, or cannot be read."""

    exit_status = 5


class ScenarioFailed(ObservatoryError):
    """A behaviour's own process failed before it was done."""

    exit_status = 6


class MissingTool(ObservatoryError):
    """A program or kernel feature that is needed is not there."""

    exit_status = 7


class WriteFailed(ObservatoryError):
    """A result could not be written."""

    exit_status = 8
