"""The proof of a backup, in a process of its own: it starts a whole node, and control stays small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import anyio
import msgspec

from runtime.backup.errors import BackupUnproven
from runtime.backup.proving import Proved

PROOF_S_MAX: Final = 300.0


class ProofInAProcess:
    """Implements BackupProof by `aether backup prove DIR --json`."""

    async def prove(self, directory: Path) -> Proved:
        words = [sys.executable, "-P", "-m", "agent_api.cli.main", "backup", "prove", str(directory), "--json"]
        try:
            with anyio.fail_after(PROOF_S_MAX):
                done = await anyio.run_process(words, check=False, stdin=subprocess.DEVNULL, start_new_session=True)
            return msgspec.json.decode(done.stdout, type=Proved)
        except TimeoutError:
            raise BackupUnproven(f"the proof of {directory} took more than {PROOF_S_MAX:g} s") from None
        except msgspec.DecodeError:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise BackupUnproven(said[-1] if said else f"the proof ended with {done.returncode}") from None
