"""docs/reference/cli.md, from the catalogue and the commands' own arguments."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from agent_api.cli.change import add_change_arguments
from agent_api.cli.connecting import add_api_arguments
from agent_api.cli.grammar import COMMANDS, LAUNCHER_COMMANDS, NOUNS, VERBS, words_of
from agent_api.cli.main import EXIT_CODES, module_parser
from agent_api.cli.operation import parser_of
from runtime.operations.catalogue import Catalogue

HEAD: Final = """\
# The command line

`aether NOUN VERB …` changes or asks; the verbs of a noun come from the [catalogue of operations](operations.md),
and some stand for work on this machine. Nouns are taken in the plural too, and `aether slices` alone is `aether
slice list`. What a word must have stands in its place, the rest are options. `--json` prints the API's answer, and
what fails as one line of JSON on the standard error, with `code`, `detail`, `retryable` and `remedy`.
`aether shell` takes the same commands without the word aether, and `source <(aether completion bash)` (or zsh;
`aether completion fish | source`) completes them, with the cluster's own names.

Written by `aether docs`.
"""
CLUSTER: Final = """\

## Which cluster
The first of these that is given: `--api HOST:PORT`; `--data DIR` (a node's directory, or a Forge's); `--context
NAME`; `AETHER_API`; a node's directory that is the present one; `AETHER_CONTEXT`; the context in use (`aether
context use NAME`). The key is that of `AETHER_KEY` or `AETHER_ADMIN_KEY`, else the one that comes with the
directory or the context; a `--context` that is named is spoken for by its own key, and the present directory's key is
told to that directory's nodes alone. Contexts are kept in
`~/.config/aether/contexts.json`, which only its owner may read.

Of several addresses the next is asked when one does not answer. `--wait` and proposals are followed over nodes that
end.
"""


def cli_page(catalogue: Catalogue) -> str:
    parts = [HEAD, "\n## Exit codes\n| code | |\n|---|---|\n"]
    parts += [f"| {code} | {text} |\n" for code, text in EXIT_CODES.items()]
    parts += [CLUSTER, "\n## Options of every change\n", _table(_change_options())]
    parts += _nouns(catalogue)
    parts.append("\n## Commands\n")
    parts += [_module(name, name, COMMANDS[name]) for name in sorted(COMMANDS)]
    parts += [f"\n### aether {name}\n{text}\n" for name, text in LAUNCHER_COMMANDS.items()]
    return "".join(parts)


def _nouns(catalogue: Catalogue) -> Iterator[str]:
    for noun in sorted(NOUNS):
        yield f"\n## aether {noun}\n{NOUNS[noun].capitalize()}.\n"
        own = VERBS.get(noun, {})
        if own:
            parser, _ = module_parser(noun, noun)
            actions = _actions(parser)
            for verb, text in own.items():
                for words, leaf in _leaves(f"{noun} {verb}", actions[verb]):
                    yield _section(words, leaf, leaf.description or _help(actions[verb], words.split()[-1]) or text)
        for operation in catalogue:
            head, _, verb = words_of(operation.name).partition(" ")
            if head == noun and verb not in own:
                yield _section(f"{noun} {verb}", parser_of(operation), operation.summary)


def _module(name: str, prog: str, text: str) -> str:
    parser, _ = module_parser(name, prog)
    actions = _actions(parser)
    if not actions:
        return _section(name, parser, text)
    parts = [f"\n### aether {name}\n{text.capitalize()}.\n"]
    for verb, each in actions.items():
        for words, leaf in _leaves(f"{name} {verb}", each):
            parts.append(_section(words, leaf, leaf.description or _help(parser, verb), deeper=True))
    return "".join(parts)


def _leaves(words: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    actions = _actions(parser)
    if not actions:
        yield words, parser
    for verb, each in actions.items():
        yield from _leaves(f"{words} {verb}", each)


def _section(
    words: str,
    parser: argparse.ArgumentParser,
    text: str,
    *,
    deeper: bool = False,
) -> str:
    shared = {each.dest for each in _actions_of(add_api_arguments)}
    is_change = any(each.dest == "break_glass" for each in parser._actions)
    if is_change:
        shared |= {each.dest for each in _change_options()}
    own = [each for each in parser._actions if each.dest not in shared | {"help", "json"}]
    usage = " ".join(_usage(each) for each in sorted(own, key=lambda each: bool(each.option_strings)))
    sentence = text[:1].upper() + text[1:].rstrip(".") + "." if text else ""
    mark = "####" if deeper else "###"
    changes = " Takes the options of every change." if is_change else ""
    return f"\n{mark} aether {words}\n```\naether {f'{words} {usage}'.strip()}\n```\n{sentence}{changes}\n{_table(own)}"


def _usage(action: argparse.Action) -> str:
    name = _value(action)
    if not action.option_strings:
        return {"+": f"{name}…", "?": f"[{name}]", "*": f"[{name}…]"}.get(str(action.nargs), name)
    word = action.option_strings[-1]
    value = f"{word} {name}" if action.nargs != 0 else word
    return value if action.required else f"[{value}]"


def _table(actions: list[argparse.Action]) -> str:
    rows = [f"| `{_word(each)}` | {_text(each)} |\n" for each in actions if each.help]
    return "\n| | |\n|---|---|\n" + "".join(rows) if rows else ""


def _word(action: argparse.Action) -> str:
    if not action.option_strings:
        return _value(action)
    value = "" if action.nargs == 0 else f" {_value(action)}" if action.nargs != "?" else f" [{_value(action)}]"
    return f"{action.option_strings[-1]}{value}"


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.removeprefix("member_").upper()


def _text(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%").replace("|", "\\|")


def _change_options() -> list[argparse.Action]:
    return _actions_of(add_change_arguments)


def _actions_of(add: object) -> list[argparse.Action]:
    parser = argparse.ArgumentParser(add_help=False)
    assert callable(add)
    add(parser)
    return parser._actions


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            return dict(each.choices)
    return {}


def _help(parser: argparse.ArgumentParser, verb: str) -> str:
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            return next((str(choice.help or "") for choice in each._choices_actions if choice.dest == verb), "")
    return ""
