"""The training sentences that are shipped, filled and masked as a person's would be."""

from __future__ import annotations

import tomllib
from importlib import resources
from itertools import cycle
from typing import Final

from llm_layer.router.inventory import Inventory
from llm_layer.router.masking import read_sentence

LANGUAGES: Final = ("en", "de", "fr", "es", "it", "pt", "nl")
CLUSTER_WORDS: Final = {
    "en": "the cluster", "de": "den Cluster", "fr": "le cluster", "es": "el clúster", "it": "il cluster",
    "pt": "o cluster", "nl": "het cluster",
}  # fmt: skip
SAMPLES: Final = Inventory(
    slices=("orders",),
    nodes=("n1",),
    blueprints=("order-domain",),
    proposals=("06f3k2m9q1abcde",),
    playbooks=("disk-full",),
    runs=("06f3k2m9q1run00",),
    alerts=("9f2c4e6a8b0d1f3a",),
)
FILLS: Final = {
    "slice": "orders",
    "node": "n1",
    "blueprint": "order-domain",
    "proposal": "06f3k2m9q1abcde",
    "playbook": "disk-full",
    "run": "06f3k2m9q1run00",
    "alert": "9f2c4e6a8b0d1f3a",
    "setting": "http_body_max_mib",
    "version": "1.2.0",
    "n": "5",
}
VALUES: Final = ("timeout", "20", "30")
LEVELS: Final = ("debug", "info", "warning", "error")
METRIC_WORDS: Final = ("errors_share", "p99_ms", "p95")
WHY: Final = {
    "en": "the migration",
    "de": "der Umstellung",
    "fr": "la migration",
    "es": "la migración",
    "it": "la migrazione",
    "pt": "a migração",
    "nl": "de migratie",
}


def training_sentences() -> list[tuple[str, str]]:
    """(masked sentence, operation), of all languages; operation "none" is what the cluster does not do."""
    found: dict[tuple[str, str], None] = {}
    for language in LANGUAGES:
        raw = resources.files("llm_layer.router").joinpath(f"phrases/{language}.toml").read_text("utf-8")
        for operation, templates in tomllib.loads(raw).items():
            for template in templates:
                for filled in _filled(template, language):
                    found[read_sentence(filled, SAMPLES).masked, operation] = None
    return list(found)


def _filled(template: str, language: str) -> list[str]:
    subjects = ("orders", "n1", CLUSTER_WORDS[language]) if "{subject}" in template else ("",)
    levels = LEVELS if "{level}" in template else ("",)
    values = VALUES if "{value}" in template else ("",)
    metrics = cycle(METRIC_WORDS)
    return [
        template.format_map(
            {**FILLS, "subject": subject, "level": level, "value": value, "metric": next(metrics), "why": WHY[language]}
        )
        for subject in subjects
        for level in levels
        for value in values
    ]
