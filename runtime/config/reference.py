"""The page of all settings, made from their declaration."""

from __future__ import annotations

import msgspec

from runtime.config.settings import FILE_NAME, KEPT_NAME, Json, Setting, declared


def settings_page() -> str:
    """The body of docs/reference/settings.md."""
    rows = "\n".join(
        f"| `{s.name}` | {s.summary} | {s.type} | {s.unit or '-'} | `{_shown(s.default)}` | {s.bounds or '-'} |"
        f" {_taken(s)} |"
        for s in declared()
    )
    return (
        "# Settings\n\n"
        f"A node reads these from `{FILE_NAME}` in its data directory. Every one has a default, so the file may be\n"
        "absent. A key that is not listed here, or a value out of its bounds, keeps the process from starting and is\n"
        "named in its log.\n\n"
        "`aether config set` changes a setting of the whole cluster or of one node, but for those whose last column\n"
        f"says `{FILE_NAME}`; with `--slice`, those that say so also of one slice. In force is a slice's own value,\n"
        "else the node's, else the cluster's, else what the file says, else the default. Control keeps the cluster's\n"
        f"values in `{KEPT_NAME}`, so that the node's next start has them.\n\n"
        "This page is made from `runtime/config/settings.py` by `aether docs`.\n\n"
        "| setting | meaning | type | unit | default | bounds | takes effect at |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        f"{rows}\n"
    )


def _shown(value: Json) -> str:
    return msgspec.json.encode(value).decode()


def _taken(setting: Setting) -> str:
    """When a change takes effect, and where it may be made."""
    where = {"file": f", `{FILE_NAME}`", "slice": ", also of one slice", "node": ""}[setting.scope]
    return ("at once" if setting.applies == "live" else "restart") + where
