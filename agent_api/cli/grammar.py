"""The words of the command line: what stands in modules of its own, and what the catalogue gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runtime.operations.operation import AnyOperation

COMMANDS: Final = {  # one module each, by convention
    "forge": "start a cluster in a box and deploy applications to it",
    "backup": "verify or prove a backup that a playbook wrote; needs no cluster",
    "build": "build a wheel of slices from a project",
    "new-slice": "scaffold a project with one slice and its test",
    "status": "nodes, slices, instances and routes at a glance",
    "events": "what happened in the cluster, and what happens",
    "approve": "vote for a proposal",
    "reject": "vote against a proposal, which ends it",
    "withdraw": "take a proposal back",
    "rollback": "undo a change that was made",
    "why": "what a change, a proposal or a decision on scaling was: who, what, which rule, whose votes",
    "ask": "ask the cluster something in plain words, or say what shall be changed",
    "chat": "a conversation with the cluster: answers, causes, changes to confirm",
    "context": "clusters by name: add, use, list, remove",
    "completion": "print the completion script of bash, zsh or fish",
    "shell": "these commands without the word aether, with history and completion",
    "docs": "write the pages of the reference anew",
    "bench": "measure Aether against its peers on this machine",
    "campaign": "run a long test campaign",
    "simulate": "run the store's engine on simulated time, network and disk, by seed",
    "eval": "judge scaling policies on real load traces, and the understanding of sentences, offline",
}

MODULES: Final = {"approve": "decide", "reject": "decide", "withdraw": "decide"}  # commands that share one

NOUNS: Final = {  # of the catalogue; a test holds them complete
    "slice": "slices: list, scale, restart, bounds, weights",
    "instance": "instances: list, kill",
    "route": "HTTP routes that are served",
    "node": "start and stop a node here; list, cordon, drain and forget nodes",
    "blueprint": "apply, validate, list and delete blueprints",
    "artifact": "upload, list and delete artifacts",
    "cluster": "begin a cluster, make join tokens; its status",
    "topology": "zones, nodes and slices; what requires what",
    "proposal": "changes that wait for people, and what became of them",
    "audit": "who did what: list, verify, export",
    "policy": "the gate's policy: show, set, reset",
    "review": "what went past an approval, for others to look at: list, close",
    "gate": "what the gate would say of a change",
    "freeze": "where changes are frozen: list, set, lift",
    "incident": "open incidents: list, open, close",
    "conversation": "what was said to the cluster and answered: list, show, export, delete",
    "phrase": "sentences whose meaning people taught: list, teach, forget",
    "model": "language models of others: status, budget",
    "principal": "who may speak to the cluster, and what they may do",
    "key": "API keys: list, create, revoke",
    "config": "settings: list, get, set, unset",
    "controller": "how slices are scaled: status, decisions, rules, configure, pin, training-data",
    "metric": "figures of slices and nodes",
    "event": "what happened",
    "alert": "alerts: list, ack, silence; their rules, receivers and routes",
    "store": "inspect, back up and repair the consensus store",
    "snapshot": "snapshots of the store that the cluster keeps: list, keep",
    "log-level": "which lines are written",
    "log": "log lines of all nodes",
    "trace": "spans of all nodes",
    "operation": "everything that can be changed or asked",
    "run": "runs of playbooks and the like: list, show, pause, resume, cancel, signal",
    "lock": "what runs keep to themselves: who has it, who waits",
    "ttm": "the model that forecasts load",
    "playbook": "runbooks that run: list, show, plan, run, upload, lint, rehearse",
}

VERBS: Final[Mapping[str, Mapping[str, str]]] = {  # of these nouns, beside those of the catalogue; module NOUN each
    "node": {
        "start": "start a node, joining a cluster first when told to",
        "stop": "move the node's instances away, then stop it",
        "status": "the node's processes and addresses",
    },
    "cluster": {
        "init": "make a cluster's CA and its first node",
        "token": "make a token with which nodes may join",
    },
    "artifact": {
        "upload": "send a wheel to the cluster",
        "delete": "forget an artifact that no blueprint uses",
    },
    "blueprint": {
        "apply": "make the cluster as the file says",
        "validate": "check the file, change nothing",
    },
    "review": {
        "list": "reviews that are open",
        "close": "close one with what was found",
    },
    "store": {
        "status": "term, leader, and how each member does",
        "check": "compare the state of all members at one entry of the log",
        "transfer": "let another member lead",
        "compact": "let go of history",
        "members": "who belongs to the group: list, add, promote, remove",
        "snapshot": "backups in files: save, verify, restore",
    },
    "controller": {
        "training-data": "write what each slice did in each minute, as CSV or Parquet",
    },
    "ttm": {
        "train": "make a model from traces",
        "export": "copy a model and its card to a directory",
        "upload": "send a model and its card to the cluster",
        "validate": "ask a model about hard loads, and measure it",
        "backtest": "judge forecasts on traces, beside other methods",
        "coverage": "how much of traces' load calibrated bands cover",
    },
    "run": {
        "follow": "tell a run's steps as they begin and end",
    },
    "playbook": {
        "lint": "check files; needs no cluster",
        "schema": "print the JSON Schema of playbooks",
        "offline": "carry one out on this node alone, where quorum is gone",
        "rehearse": "try one in a throw-away Forge with the fault that it names",
    },
    "audit": {
        "verify": "prove that the audit is whole, of the cluster or of an exported file",
        "export": "write the whole audit as JSON lines",
    },
}

ALIASES: Final = {"store.snapshot": "snapshot keep"}  # operations whose words here are not those of their name
LAUNCHER_COMMANDS: Final = {  # carried out by the launcher at the root of a checkout
    "check": "for developers: format, lint, types, imports, unit tests; under two minutes",
    "test": "for developers: all tests",
}


def singular(word: str) -> str:
    """The noun or command that is meant: plurals of nouns are taken too, and win over nothing."""
    if word in COMMANDS or word in NOUNS:
        return word
    shorter = word.removesuffix("s")
    return shorter if shorter in NOUNS else word


def is_plural(word: str) -> bool:
    return word not in NOUNS and singular(word) in NOUNS


def words_of(operation: str) -> str:
    """Noun and verb of an operation on the command line."""
    return ALIASES.get(operation, operation.replace(".", " ", 1))


def operations_of(noun: str) -> dict[str, AnyOperation]:
    """The catalogue's operations of a noun, by their verbs."""
    from agent_api.catalogue import make_catalogue

    named = {words_of(each.name): each for each in make_catalogue()}
    return {words.partition(" ")[2]: each for words, each in named.items() if words.partition(" ")[0] == noun}


def verbs_of(noun: str) -> dict[str, str]:
    """Every verb of a noun with what it does."""
    generated = {verb: each.summary for verb, each in operations_of(noun).items()}
    return {**VERBS.get(noun, {}), **generated, **VERBS.get(noun, {})}
