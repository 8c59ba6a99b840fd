"""What backups are refused for."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class BackupDamaged(RuntimeFault):
    code = "backup_damaged"
    remedy = "Use another backup; `aether backup verify DIR` reads a whole one."


class BackupUnproven(RuntimeFault):
    """The proof could not be tried."""

    code = "backup_unproven"
    retryable = True
    remedy = "Try it by hand: aether backup prove DIR; it needs a free minute and 200 MB."
