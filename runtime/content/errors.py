"""What keeping bytes can refuse or fail at."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class ContentFault(RuntimeFault):
    """Base of the package's errors."""

    code = "content_fault"


class ContentMismatch(ContentFault):
    """The bytes are not those that were announced: cut short, or altered on the way."""

    code = "content_mismatch"
    remedy = "Send the file again; if it fails again, make it anew and compare its SHA-256."

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"the bytes have SHA-256 {found}, not {expected}; they were cut short or altered")
        self.expected = expected
        self.found = found


class ContentTooLarge(ContentFault):
    code = "content_too_large"
    remedy = "Make the file smaller, or raise artifact_size_max_mib in the nodes' config.toml."

    def __init__(self, size_bytes_max: int) -> None:
        super().__init__(f"more than {size_bytes_max // (1024 * 1024)} MiB were sent, which is the limit")
        self.size_bytes_max = size_bytes_max


class ContentNotFound(ContentFault):
    """`tried` says which nodes were asked and what each answered."""

    code, retryable = "content_not_found", True
    remedy = "Start the nodes that keep it, or upload it again."

    def __init__(self, sha256: str, tried: str) -> None:
        super().__init__(f"no node that runs could give the bytes of {sha256}{f' ({tried})' if tried else ''}")
        self.sha256 = sha256


class ContentNameInvalid(ContentFault):
    code = "content_name_invalid"
    remedy = "Content is named by the 64 lower-case hexadecimal digits of its SHA-256."

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:80]!r} is no SHA-256")


class ContentDiskFull(ContentFault):
    code, retryable = "content_disk_full", True
    remedy = "Free space on the node's data directory, or delete artifacts: aether artifact delete NAME==VERSION."

    def __init__(self, cause: str) -> None:
        super().__init__(f"the bytes cannot be written: {cause}")
