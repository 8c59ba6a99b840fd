"""`--provider` of evals: what answers there, and why it cannot."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Final

from agent_api.cli.parser import dollars
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from evals.scenarios.voices import Voice

EMBEDDED: Final = "embedded"
FAKE: Final = "fake"
PROVIDERS: Final = (EMBEDDED, FAKE, "anthropic", "openai")
CLIENTS: Final = ("anthropic", "openai", "compatible")
USD: Final = 5.0


class EvalModelUnasked(RuntimeFault):
    """A model is named, and none is asked."""

    code = "eval_model_unasked"
    remedy = "Say which maker's it is, with --provider anthropic or openai, or leave --model out."


class EvalClientUnused(RuntimeFault):
    """A client is named, and the provider has one of its own or none."""

    code = "eval_client_unused"
    remedy = "Say --provider fake, which is asked through any of them, or leave --client out."


class EvalKeyAbsent(RuntimeFault):
    """A maker's model is to be asked, and there is no key for it."""

    code = "eval_key_absent"

    def __init__(self, provider: str, variable: str) -> None:
        super().__init__(f"--provider {provider} asks {provider}'s model, and the variable {variable} holds no key")
        self.remedy = (  # type: ignore[misc]  # of this one error
            f"Export {variable}=… and run it again, or take --provider fake (a policy of ours, asked through the"
            " makers' clients) or embedded (rules alone). docs/guides/evals.md says what a run sends and costs."
        )


def add_voice_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--provider",
        choices=PROVIDERS,
        default=EMBEDDED,
        help="what answers: rules alone (default), a policy of ours in a model's place, or a maker's model",
    )
    parser.add_argument(
        "--client",
        choices=CLIENTS,
        default="",
        help="with --provider fake: through this maker's client alone; default: all, one after the other",
    )
    parser.add_argument("--model", default="", metavar="NAME", help="the maker's model; default: that of the settings")
    parser.add_argument(
        "--usd", type=dollars, default=USD, metavar="N", help=f"what a maker's model may cost (default {USD:g})"
    )


def voices(arguments: argparse.Namespace) -> tuple[Voice, ...]:
    """Each plays everything. Raises EvalKeyAbsent, EvalModelUnasked, EvalClientUnused."""
    from evals.fake_provider.careful import careful
    from evals.scenarios.voices import EMBEDDED as RULES
    from evals.scenarios.voices import faked

    check_model(arguments)
    match arguments.provider:
        case "embedded":
            return (RULES,)
        case "fake":
            forget_keys()
            return through(faked(careful), arguments.client)
    return (_of_maker(arguments),)


def through(those: tuple[Voice, ...], client: str) -> tuple[Voice, ...]:
    """client: empty for all."""
    return tuple(each for each in those if client in ("", each.api))


def check_model(arguments: argparse.Namespace) -> None:
    """Raises EvalModelUnasked: a report of rules or of a fake under a model's name would be a false one; and
    EvalClientUnused."""
    if arguments.client and arguments.provider != FAKE:
        raise EvalClientUnused(f"--client {arguments.client} is of no account with --provider {arguments.provider}")
    if arguments.model and arguments.provider in (EMBEDDED, FAKE):
        raise EvalModelUnasked(f"--model {arguments.model} is of no account with --provider {arguments.provider}")


def _of_maker(arguments: argparse.Namespace) -> Voice:
    from evals.scenarios.voices import Voice
    from llm_layer.providers.keys import VARIABLES

    provider = arguments.provider
    if not os.environ.get(VARIABLES[provider], "").strip():
        raise EvalKeyAbsent(provider, VARIABLES[provider])
    return Voice(name=provider, api=provider, model=arguments.model, usd=arguments.usd)


def forget_keys() -> None:
    """Nodes have this process's environment, and a key there goes before that of a file: none reaches a fake."""
    from llm_layer.providers.keys import VARIABLES

    for variable in VARIABLES.values():
        os.environ.pop(variable, None)
