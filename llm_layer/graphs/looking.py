"""A model looks around with tools until it answers by a schema. Each way in which that can go wrong ends somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

from llm_layer.claims.answer import schema_for
from llm_layer.errors import LlmFault
from llm_layer.graphs.run import Effort, Run
from llm_layer.graphs.writing import Writing
from llm_layer.providers.messages import Ask, Block, Message, Reply, Said, Tier, ToolCall, ToolResult, ToolSpec
from llm_layer.tools.quoting import error_of

REPAIRS_MAX: Final = 2
"""Replies in a row that cannot be used, after which somebody else has to go on: agents were seen to repeat one mistake
fourteen times."""
PAUSES_MAX: Final = 3
ROUNDS_MAX: Final = 24  # replies of one look: 12 calls one by one, and as many pauses and repairs again
CALLS_AT_ONCE: Final = 6  # of one reply; more are told to wait
TABLE_CHARS_MAX: Final = 12_000  # of evidence, when a conversation did not fit: 4,000 tokens

T = TypeVar("T", bound=msgspec.Struct)


class HandedOver(LlmFault):
    """The model gives no answer that can be used. `why`: malformed, refused, length, overflow or pauses."""

    code = "handed_over"

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(detail)
        self.why = why


class Looking(Generic[T]):
    """One conversation with a model. It goes on after an answer: `object_to` tells it what was wrong with that one."""

    def __init__(
        self,
        run: Run,
        *,
        system: Sequence[Block],
        asked: Sequence[Message],
        operations: Sequence[str],
        answer: type[T],
        effort: Effort,
        own: Sequence[str] = (),
        tier: Tier = "strong",
        writing: Writing | None = None,
    ) -> None:
        """asked: what was said before, and last what is asked now. writing: tells the answer while it is written."""
        self._run = run
        self._system = tuple(system)
        self._asked = tuple(asked)
        self._messages = list(asked)
        self._operations = tuple(operations)
        self._own = tuple(own)
        self._answer = answer
        self._schema = schema_for(answer)
        self._effort = effort
        self._tier: Tier = tier
        self._writing = writing
        self._repairs = 0
        self._shortened = False

    async def answer(self) -> T:
        """Raises HandedOver, ModelsAbsent, ModelsExhausted."""
        pauses = 0
        for _ in range(ROUNDS_MAX):
            self.take_back()
            reply = await self._run.ask(self._ask(), self._writing)
            self._messages.append(reply.message)
            match reply.stop:
                case "calls":
                    await self._carry_out(reply)
                case "end":
                    found = self._read(reply)
                    if found is not None:
                        return found
                case "paused":
                    pauses += 1
                    if pauses > PAUSES_MAX:
                        raise HandedOver("pauses", "the model paused again and again")
                case "refused":
                    raise HandedOver("refused", "the model declined to answer")
                case "length":
                    self._cut_off(reply)
                case "overflow":
                    self._shorten()
        raise HandedOver("malformed", "the model went on and on without an answer")

    def take_back(self) -> None:
        """What was told of an answer that is not the one."""
        if self._writing is not None:
            self._writing.begin()

    def object_to(self, problems: Sequence[str]) -> None:
        """The answer cannot be told as it is."""
        words = "\n".join(f"- {each}" for each in problems)
        self._messages.append(_user(f"This cannot be verified:\n{words}\nAnswer again with what the evidence says."))

    def _ask(self) -> Ask:
        specs = [ToolSpec(name=name, summary=says, schema=schema) for name, says, schema in self._specs()]
        return Ask(
            system=self._system,
            messages=tuple(self._messages),
            tools=tuple(specs),
            answer_schema=self._schema,
            calling="never" if self._effort.spent or not specs else "may",
            tier=self._tier,
            incident=self._run.incident,
        )

    def _specs(self) -> list[tuple[str, str, dict[str, object]]]:
        return self._run.toolbox.specs(self._operations, self._own) if self._operations else []

    def _cut_off(self, reply: Reply) -> None:
        """Calls that were whole before the limit stand in the message: providers refuse one without its result."""
        self._count_repair("length", "answers that were cut off")
        content = msgspec.json.encode(error_of("cut_off", "the message was cut off: call again")).decode()
        called = [each.id for each in reply.calls] + [each.id for each in reply.refused]
        results = [ToolResult(id=each, content=content, failed=True) for each in called]
        words = Said(text="It was cut off: answer in half as many words.")
        self._messages.append(Message(role="user", parts=(*results, words)))

    async def _carry_out(self, reply: Reply) -> None:
        results = [each.result() for each in reply.refused]
        for number, call in enumerate(reply.calls):
            results.append(await self._called(call, wait=number >= CALLS_AT_ONCE))
        if not results:
            self._repair("Call a tool or answer.", "malformed")
            return
        self._messages.append(Message(role="user", parts=tuple(results)))
        if all(each.failed for each in results):
            self._count_repair("malformed", "calls that cannot be carried out")
        else:
            self._repairs = 0

    async def _called(self, call: ToolCall, *, wait: bool) -> ToolResult:
        if wait or self._effort.spent:
            content = '{"error":{"code":"no_more_calls","detail":"answer with what there is, and name the gaps"}}'
            return ToolResult(id=call.id, content=content)
        if call.name not in {name for name, _, _ in self._specs()}:
            content = msgspec.json.encode(error_of("unknown_tool", call.name[:80])).decode()
            return ToolResult(id=call.id, content=content, failed=True)
        told = await self._run.call(call.name, call.arguments)
        self._effort.note(told)
        return ToolResult(id=call.id, content=told.content, failed=told.failed)

    def _read(self, reply: Reply) -> T | None:
        if reply.answer is None:
            self._repair("Answer with one JSON object of the schema, and nothing around it.", "malformed")
            return None
        try:
            return msgspec.convert(reply.answer, self._answer)
        except msgspec.ValidationError as error:
            self._repair(f"The answer does not fit its schema: {error}", "malformed")
            return None

    def _repair(self, words: str, why: str) -> None:
        self._count_repair(why, "answers that cannot be read")
        self._messages.append(_user(words))

    def _count_repair(self, why: str, what: str) -> None:
        self._repairs += 1
        if self._repairs > REPAIRS_MAX:
            raise HandedOver(why, f"the model gave {what}, {self._repairs} times in a row")

    def _shorten(self) -> None:
        """Once: the same question with the evidence as a table, and none of the talk about it."""
        if self._shortened:
            raise HandedOver("overflow", "what was found does not fit the model's window")
        self._shortened = True
        table, size = [], 0
        for evidence, text in self._run.toolbox.noted.shown.items():
            part = text[: max(0, min(1_500, TABLE_CHARS_MAX - size))]
            size += len(part)
            table.append(f"{evidence}: {part}" if part else f"{evidence}: (ask again for it)")
        words = "What was found so far:\n" + "\n".join(table)
        self._messages = [*self._asked[-1:], _user(words)]


def _user(text: str) -> Message:
    return Message(role="user", parts=(Said(text=text),))
