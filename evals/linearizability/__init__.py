"""Whether what clients saw could have happened in one order: histories of the store, and the check of them."""

from evals.linearizability.checker import Verdict, check
from evals.linearizability.history import History, Operation
from evals.linearizability.recording import Recorder, RecordingStore

__all__ = ["History", "Operation", "Recorder", "RecordingStore", "Verdict", "check"]
