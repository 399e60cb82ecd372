"""What can go wrong with an update: one code and one sentence each, and the number that the service is told.

Codes of a payload that is refused are `formats.payload.Code`; those here are the others.
docs/howto/update-a-machine.md lists all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from argosy.base.errors import ArgosyError
from argosy.formats import payload
from argosy.formats.omaha.codes import ErrorCode


class Code(StrEnum):
    """Why an update did not happen, for programs."""

    NO_ANSWER = "no-answer"
    ANSWER_STATUS = "answer-status"
    BAD_ANSWER = "bad-answer"
    REFUSED_BY_SERVICE = "refused-by-service"
    NO_KEY = "no-key"
    ESP_FULL = "esp-full"
    SLOT_TOO_SMALL = "slot-too-small"
    STATE_FULL = "state-full"
    PINNED = "pinned"
    HELD = "held"
    FAILED_BEFORE = "failed-before"
    WRONG_SIZE = "wrong-size"
    UNREACHABLE = "unreachable"
    STALLED = "stalled"
    BROKEN_OFF = "broken-off"
    HTTP_STATUS = "http-status"
    REDIRECTS = "redirects"
    NOT_OPENED = "not-opened"
    NOT_WRITTEN = "not-written"
    NOT_ARMED = "not-armed"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"


_NUMBERS = {
    Code.NO_ANSWER: ErrorCode.OMAHA_REQUEST,
    Code.ANSWER_STATUS: ErrorCode.OMAHA_HTTP,
    Code.BAD_ANSWER: ErrorCode.OMAHA_RESPONSE_INVALID,
    Code.REFUSED_BY_SERVICE: ErrorCode.IGNORED_PER_POLICY,
    Code.NO_KEY: ErrorCode.METADATA_SIGNATURE_VERIFICATION,
    Code.ESP_FULL: ErrorCode.NO_SPACE,
    Code.SLOT_TOO_SMALL: ErrorCode.NO_SPACE,
    Code.STATE_FULL: ErrorCode.DOWNLOAD_STATE,
    Code.PINNED: ErrorCode.VERSION_REFUSED,
    Code.HELD: ErrorCode.VERSION_REFUSED,
    Code.FAILED_BEFORE: ErrorCode.VERSION_REFUSED,
    Code.WRONG_SIZE: ErrorCode.PAYLOAD_SIZE_MISMATCH,
    Code.UNREACHABLE: ErrorCode.DOWNLOAD_TRANSFER,
    Code.STALLED: ErrorCode.DOWNLOAD_TRANSFER,
    Code.BROKEN_OFF: ErrorCode.DOWNLOAD_TRANSFER,
    Code.HTTP_STATUS: ErrorCode.HTTP_BASE,
    Code.REDIRECTS: ErrorCode.DOWNLOAD_TRANSFER,
    Code.NOT_OPENED: ErrorCode.INSTALL_DEVICE_OPEN,
    Code.NOT_WRITTEN: ErrorCode.DOWNLOAD_WRITE,
    Code.NOT_ARMED: ErrorCode.SET_BOOTABLE,
    Code.ENDED: ErrorCode.ERROR,
    Code.WITHDRAWN: ErrorCode.IGNORED_PER_POLICY,
    payload.Code.MAGIC: ErrorCode.METADATA_MAGIC,
    payload.Code.FORMAT: ErrorCode.METADATA_MAGIC,
    payload.Code.BOUNDS: ErrorCode.METADATA_SIZE,
    payload.Code.TRUNCATED: ErrorCode.PAYLOAD_SIZE_MISMATCH,
    payload.Code.TOO_LONG: ErrorCode.PAYLOAD_SIZE_MISMATCH,
    payload.Code.MANIFEST: ErrorCode.MANIFEST_PARSE,
    payload.Code.PARTS: ErrorCode.MANIFEST_PARSE,
    payload.Code.PART_SIZE: ErrorCode.NEW_PARTITION_INFO,
    payload.Code.OPERATION_KIND: ErrorCode.MANIFEST_PARSE,
    payload.Code.OPERATION_SIZE: ErrorCode.MANIFEST_PARSE,
    payload.Code.OPERATION_ORDER: ErrorCode.MANIFEST_PARSE,
    payload.Code.DATA_ORDER: ErrorCode.MANIFEST_PARSE,
    payload.Code.SIGNATURES: ErrorCode.METADATA_SIGNATURE,
    payload.Code.UNSIGNED: ErrorCode.METADATA_SIGNATURE_MISSING,
    payload.Code.UNTRUSTED: ErrorCode.SIGNATURE_VERIFICATION,
    payload.Code.WRONG_SIGNATURE: ErrorCode.METADATA_SIGNATURE_MISMATCH,
    payload.Code.APPLICATION: ErrorCode.WRONG_APPLICATION,
    payload.Code.VERSION: ErrorCode.PAYLOAD_VERIFICATION,
    payload.Code.FLOOR: ErrorCode.BELOW_FLOOR,
    payload.Code.PAYLOAD_HASH: ErrorCode.PAYLOAD_HASH_MISMATCH,
    payload.Code.DATA_HASH: ErrorCode.OPERATION_HASH_MISMATCH,
    payload.Code.DATA: ErrorCode.OPERATION_EXECUTION,
    payload.Code.RESULT_HASH: ErrorCode.NEW_ROOT_VERIFICATION,
    payload.Code.PART_HASH: ErrorCode.NEW_ROOT_VERIFICATION,
}

# What this machine or its owner does not want; the payload is not to blame, and asking again is cheap.
UNWANTED = frozenset(
    (
        Code.PINNED,
        Code.HELD,
        Code.FAILED_BEFORE,
        Code.WITHDRAWN,
        Code.NO_KEY,
        Code.SLOT_TOO_SMALL,
        payload.Code.FLOOR,
    )
)
# What is wrong with the payload itself: the same bytes will be wrong tomorrow, so it is left alone for days.
BAD_PAYLOAD = frozenset(
    code for code in payload.Code if code not in (payload.Code.FLOOR, payload.Code.PART_HASH)
) | {Code.WRONG_SIZE}


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason, in words. `number` is what the update service is told (`ErrorCode`)."""

    code: str
    sentence: str
    number: int
    hint: str = ""

    @property
    def bad_payload(self) -> bool:
        """The payload itself is wrong."""
        return self.code in BAD_PAYLOAD

    @property
    def unwanted(self) -> bool:
        """This machine or its owner does not want it."""
        return self.code in UNWANTED


class UpdateError(ArgosyError):
    """An update stopped, for one reason or several."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(
            "; ".join(problem.sentence for problem in problems),
            hint="\n".join(problem.hint for problem in problems if problem.hint) or None,
        )
        self.problems = problems


def problem(code: Code, sentence: str, *, hint: str = "", http_status: int = 0) -> Problem:
    """A problem with the number that belongs to its code."""
    return Problem(code, sentence, _NUMBERS[code] + http_status, hint)


def withdrawn_problem(version: str, reason: str) -> Problem:
    """The service took back what it had offered."""
    return problem(Code.WITHDRAWN, reason or f"version {version} was withdrawn")


def payload_problem(error: payload.PayloadError) -> Problem:
    """A payload's refusal as a problem."""
    return Problem(error.code, error.message, _NUMBERS[error.code], error.hint or "")


def kernel_hash_problem(name: str) -> Problem:
    """A file on the ESP that reads back otherwise than it was written."""
    return Problem(payload.Code.PART_HASH, _READS_BACK.format(name), ErrorCode.NEW_KERNEL_VERIFICATION)


def usr_hash_problem() -> Problem:
    """A /usr that reads back otherwise than it was written."""
    return Problem(payload.Code.PART_HASH, _READS_BACK.format("/usr"), ErrorCode.NEW_ROOT_VERIFICATION)


_READS_BACK = "{} reads back from the disk otherwise than the payload says"
