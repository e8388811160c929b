"""The exceptions that imagrad raises on purpose.

::

    ImagradError
    ├── InputError                   an argument or option cannot be used as given (exit code 2)
    │   ├── UnknownNameError         a name that the registry asked does not hold
    │   ├── SelectionError           a data selection that cannot be read, or that selects nothing
    │   ├── ImageError               images of the wrong shape, type or range
    │   ├── EncoderError             a network that is no function from a batch to a batch of codes
    │   └── UntrustedCodeError       a file that would run code when opened, and nobody said that it may
    ├── DataError                    what is on disk (exit code 1)
    │   ├── MissingDataError         a data set or file that is not there and could not be fetched
    │   └── CorruptDataError         a file that is damaged, or not what it says it is
    ├── RunFolderError               a run folder that is not one, does not fit, or is in use
    ├── StorageError                 writing failed: disk full, read-only folder, ...
    ├── TrainingError                training cannot go on: the loss is not a number
    ├── ProcessError                 a process that worked for this one ended without an answer
    ├── MissingExtraError            a package that only an extra installs is not there
    └── DerivativeError              no exact derivative can be given
        ├── ExportError              the function cannot be turned into a graph of operations
        └── UnsupportedOperationError  an operation without a complex-step rule
"""

from __future__ import annotations

from typing import ClassVar


class ImagradError(Exception):
    """The base of every error that imagrad raises on purpose."""

    exit_code: ClassVar[int] = 1


class InputError(ImagradError):
    """An argument or option cannot be used as given."""

    exit_code: ClassVar[int] = 2


class UnknownNameError(InputError):
    """A name that the registry asked does not hold."""


class SelectionError(InputError):
    """A data selection that cannot be read, or that selects nothing."""


class ImageError(InputError):
    """Images of the wrong shape, type or range."""


class EncoderError(InputError):
    """A network that is no function from a batch of images to a batch of codes."""


class UntrustedCodeError(InputError):
    """Opening a file would run code that comes with it, and nobody said that it may."""


class DataError(ImagradError):
    """Data on disk cannot be used."""


class MissingDataError(DataError):
    """A data set or file is not there and could not be fetched."""


class CorruptDataError(DataError):
    """A file is damaged, or not what it says it is."""


class RunFolderError(ImagradError):
    """A run folder is not one, does not fit, or is in use."""


class StorageError(ImagradError):
    """Writing failed; what was saved before is untouched."""


class TrainingError(ImagradError):
    """Training cannot go on."""


class MissingExtraError(ImagradError):
    """A package that only an extra of imagrad installs is not there."""


class ProcessError(ImagradError):
    """A process that worked for this one ended without an answer."""


class DerivativeError(ImagradError):
    """No exact derivative can be given."""


class ExportError(DerivativeError):
    """A function cannot be turned into a graph of operations."""


class UnsupportedOperationError(DerivativeError):
    """An operation has no complex-step rule."""
