"""Every error that pairx_plugin raises on purpose.

Each class also is the builtin that a caller would expect, so that ``except ValueError`` keeps working. A message
says what is wrong, the value, what would do, and the next step; `nearest` finds the name that was meant.
"""

from __future__ import annotations

from pairx_hooks.errors import nearest

__all__ = [
    "CalibrationRefused",
    "ChipError",
    "ChipFetchFailed",
    "ChipForbidden",
    "ChipNotFound",
    "ChipTooLarge",
    "ChipUnreadable",
    "EvidenceError",
    "ExplainerNotFound",
    "HostError",
    "HostUnavailable",
    "LayerNotFound",
    "MissingExtra",
    "ModelError",
    "ModelNotFound",
    "PairXError",
    "PropagationError",
    "SettingsError",
    "StoreError",
    "TimeBudgetSpent",
    "UnsupportedArchitecture",
    "is_out_of_memory",
    "nearest",
]


class PairXError(Exception):
    """Base of every error raised on purpose.

    Attributes:
        code: stable upper-case identifier for records and HTTP answers.
        retryable: True where the same call may succeed later without a change.
    """

    code = "PAIRX_ERROR"
    retryable = False


class SettingsError(PairXError, ValueError):
    """A setting has an unknown name or a value out of its range."""

    code = "SETTING_INVALID"


class CalibrationRefused(SettingsError):
    """There is too little to calibrate on, or a calibrated figure was asked for where there is none."""

    code = "CALIBRATION_REFUSED"


class ChipError(PairXError, ValueError):
    """A chip cannot be cut: its box, its angle or its pixels are unusable."""

    code = "CHIP_INVALID"


class ChipNotFound(ChipError, FileNotFoundError):
    """The photograph of a chip does not exist."""

    code = "IMAGE_NOT_FOUND"


class ChipUnreadable(ChipError, OSError):
    """The photograph of a chip exists and cannot be decoded."""

    code = "IMAGE_UNREADABLE"


class ChipTooLarge(ChipUnreadable):
    """The photograph of a chip has more bytes or pixels than may be read."""

    code = "IMAGE_TOO_LARGE"


class ChipForbidden(ChipError, PermissionError):
    """The photograph of a chip lies where nobody has allowed to look."""

    code = "IMAGE_FORBIDDEN"


class ChipFetchFailed(ChipUnreadable):
    """The photograph of a chip lies on a server that did not send it."""

    code = "IMAGE_FETCH_FAILED"
    retryable = True


class ModelError(PairXError, ValueError):
    """The network does something that an explanation cannot build on."""

    code = "MODEL_INVALID"


class ModelNotFound(ModelError, KeyError):
    """No plugin and no catalogue knows the model id, or its files are missing."""

    code = "MODEL_UNKNOWN"

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError would quote the message


class LayerNotFound(ModelError, KeyError):
    """The network has no layer of that key."""

    code = "LAYER_UNKNOWN"

    def __str__(self) -> str:
        return Exception.__str__(self)


class UnsupportedArchitecture(ModelError, NotImplementedError):
    """No relevance rules are known for the network's architecture."""

    code = "MODEL_UNSUPPORTED"


class PropagationError(PairXError, RuntimeError):
    """Relevance could not be propagated: not finite, or lost on the way."""

    code = "PROPAGATION_FAILED"


class EvidenceError(PairXError, ValueError):
    """Arrays that should describe one explanation do not fit together."""

    code = "EVIDENCE_INVALID"


class ExplainerNotFound(PairXError, KeyError):
    """No registered plugin provides the explainer."""

    code = "EXPLAINER_UNKNOWN"

    def __str__(self) -> str:
        return Exception.__str__(self)


class TimeBudgetSpent(PairXError, TimeoutError):
    """The time for one explanation was over before anything of it was there."""

    code = "TIME_BUDGET"
    retryable = True


class StoreError(PairXError, OSError):
    """An explanation could not be written or read back."""

    code = "STORE_FAILED"


class HostError(PairXError, RuntimeError):
    """The host cannot be used as its configuration says."""

    code = "HOST_FAILED"


class HostUnavailable(HostError, ConnectionError):
    """The host does not answer."""

    code = "HOST_UNAVAILABLE"
    retryable = True


class MissingExtra(PairXError, ImportError):
    """An optional package is needed and cannot be imported.

    Args:
        package: the import name that failed.
        extra: the extra of this distribution that installs it.
        purpose: what it is needed for, as a noun phrase.
        cause: the exception of the import; a mismatched torchvision raises RuntimeError, not ImportError.
    """

    code = "EXTRA_MISSING"

    def __init__(self, package: str, *, extra: str, purpose: str, cause: BaseException | None = None) -> None:
        reason = f" ({type(cause).__name__}: {cause})" if cause is not None else ""
        super().__init__(
            f"{purpose} needs the package '{package}', which cannot be imported{reason}; "
            f"install it with: pip install 'pairx-plugin[{extra}]'"
        )
        self.package, self.extra = package, extra


_NO_MEMORY = (
    *("out of memory", "not enough memory", "allocate memory", "bad_alloc", "alloc_failed"),
    "could not create a primitive",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, the processor's or a GPU's.

    PyTorch says so in several ways, by class on a GPU and by words alone on a CPU, where oneDNN says no more than that
    it could not make what it needed.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    True
    """
    words = str(error).lower()
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(part in words for part in _NO_MEMORY)
