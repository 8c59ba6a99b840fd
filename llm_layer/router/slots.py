"""A request's members, read from a sentence: names that exist, numbers, and nothing that was not said."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from llm_layer.router.intents import INTENTS, MEMBER_OF
from llm_layer.router.inventory import Inventory
from llm_layer.router.masking import Sentence
from llm_layer.router.words import DOUBLE_WORDS, HALF_WORDS, ONE_WORDS, TRIPLE_WORDS, folded
from runtime.config.settings import from_text, is_allowed
from runtime.operations import subjects

INSTANCES_MAX: Final = 1_000
WHY_CHARS_MAX: Final = 500
_TO: Final = re.compile(r"\b(?:to|auf|bis|at|bei)\s+(?:exactly\s+|genau\s+)?(\d+)\b")
_BY: Final = re.compile(r"\b(?:by|um)\s+(\d+)\b")
_MORE: Final = re.compile(
    r"\b(more|extra|additional|add|mehr|weitere\w*|zusatzlich\w*|dazu|hinzu|ajoute\w*|de plus|supplementaires?"
    r"|anade\w*"
    r"|agrega|mas|aggiungi\w*|altr[ei]|in piu|increase|erhohe|augmente\w*|aumenta)\b"
)
_FEWER: Final = re.compile(
    r"\b(remove|away|fewer|less|decrease|drop|weg|weniger|nimm|entferne|retire\w*|enleve\w*|moins|en moins|quita\w*"
    r"|menos|togli|meno|in meno|down by|reduce|reduziere|verringere|reduis|riduci|baisse|baja|diminu\w*|abbassa)\b"
)
_OF_MUCH: Final = re.compile(r"\b(?:augmente\w*|reduis|baisse|diminue\w*) SLICE de (\d+)\b"
                             r"|\b(?:aumenta|reduce|sube|baja) SLICE en (\d+)\b"
                             r"|\b(?:aumenta|riduci|diminuisci) SLICE di (\d+)\b")  # fmt: skip
_NONE_LEFT: Final = re.compile(r"\b(zero|null|cero|stop all instances)\b")
_DURATION: Final = re.compile(
    r"(?<![\w.,-])(\d+(?:\.\d+)?|an?|one|eine?n?|une?|un[oa]?)\s+(s|sec\w*|sek\w*|min\w*|h|hours?|stunden?|heures?|horas?|or[ae])\b"
)
_SECONDS: Final = {"se": 1, "s": 1, "mi": 60, "st": 3_600, "h": 3_600, "he": 3_600, "ho": 3_600, "or": 3_600}
_LEVELS: Final = {
    "debug": "debug", "info": "info", "warning": "warning", "warnings": "warning", "warn": "warning",
    "warnung": "warning", "warnungen": "warning", "error": "error", "errors": "error", "fehler": "error",
    "erreur": "error", "erreurs": "error", "errores": "error", "errori": "error",
    "avertissements": "warning", "advertencias": "warning", "avvisi": "warning",
}  # fmt: skip
_QUOTED: Final = re.compile(r"[\"“«„']([^\"”»“']{1,200})[\"”»“']")
_SEARCHED: Final = re.compile(
    r"\b(?:grep|search|suche|find|cherche|busca|cerca)\b.*?\b(?:for|nach)\s+(\S+)|\b(?:cherche|busca|cerca"
    r"|grep)\s+(\S+)"
)
_CLUSTER: Final = re.compile(r"\b(cluster|everything|alles|tout|todo|tutto)\b")
_VALUE: Final = re.compile(r"SETTING\s*(?:=|should be|must be|to|auf|soll|zu|a|en|sur|como|as|in|at|of)?\s*([\w.\-]+)")
_WHY: Final = re.compile(
    r"\b(?:because(?: of)?|due to|since|weil|wegen|parce que|a cause d[eu]|porque|a causa (?:de|di)|debido a"
    r"|perche)\s+(.+)"
)

Value = object


def fill(operation: str, sentence: Sentence, inventory: Inventory) -> tuple[dict[str, Value], tuple[str, ...]]:
    """The members that the sentence says, and those that it would have to say and does not."""
    intent = INTENTS[operation]
    found: dict[str, Value] = {}
    missing: list[str] = []
    for slot in (*intent.needs, *intent.takes):
        value = _SLOTS[slot](sentence, inventory)
        if value is not None:
            found[MEMBER_OF.get(slot, slot)] = value
        elif slot in intent.needs:
            missing.append(slot)
    return found, tuple(missing)


def _only(kind: str) -> Callable[[Sentence, Inventory], Value | None]:
    """The one name of that kind; none where there are two to choose from."""

    def read(sentence: Sentence, _inventory: Inventory) -> Value | None:
        names = sentence.names(kind)
        return names[0] if len(names) == 1 else None

    return read


def _numbers(sentence: Sentence) -> list[int]:
    """Whole numbers in their order, without those of a duration."""
    spoken = _DURATION.sub(" ", sentence.plain)
    return [int(each) for each in re.findall(r"(?<![\w.])\d+(?![\w.])", spoken)]


def _instances(sentence: Sentence, inventory: Inventory) -> Value | None:
    wanted = _wanted(sentence, inventory)
    return wanted if wanted is not None and 0 <= wanted <= INSTANCES_MAX else None


def _wanted(sentence: Sentence, inventory: Inventory) -> int | None:
    plain, words = sentence.plain, set(sentence.plain.split())
    names = sentence.names("slice")
    now = inventory.wanted.get(names[0]) if len(names) == 1 else None
    numbers = _numbers(sentence)
    if len(numbers) > 1 and (len(numbers) > 2 or numbers[0] != now):
        return None  # but for "from 3 to 5" where 3 are wanted now
    if found := _TO.search(plain):
        return int(found[1])
    if len(numbers) > 1:
        return None
    by = _BY.search(plain) or _OF_MUCH.search(plain)
    step = next((int(each) for each in by.groups() if each), None) if by else (numbers[0] if numbers else None)
    if by or _MORE.search(plain) or _FEWER.search(plain):
        return _moved(sentence, now, step, is_step=bool(by))
    if numbers:
        return numbers[0]
    return (_NONE_LEFT.search(sentence.folded) and 0) or _times(words, now)


def _moved(sentence: Sentence, now: int | None, step: int | None, *, is_step: bool) -> int | None:
    """So many more or fewer than now; where only a verb says so, as in "reduce to 3" of other languages, so many."""
    plain = sentence.plain
    if step is None:
        step = 1 if ONE_WORDS & set(plain.split()) else None
    absolute = re.search(r"SLICE (?:a|en) (\d+)|(?:SLICE|instances?) (?:a|en) (\d+)", plain)
    if absolute and not is_step:
        return int(next(each for each in absolute.groups() if each))
    if step is None or now is None:
        return None
    return now - step if _FEWER.search(plain) else now + step


def _times(words: set[str], now: int | None) -> int | None:
    if now is None:
        return None
    if words & {folded(each) for each in DOUBLE_WORDS}:
        return now * 2
    if words & {folded(each) for each in TRIPLE_WORDS}:
        return now * 3
    return math.ceil(now / 2) if words & {folded(each) for each in HALF_WORDS} else None


def _bound_at(place: int) -> Callable[[Sentence, Inventory], Value | None]:
    def read(sentence: Sentence, _inventory: Inventory) -> Value | None:
        numbers = _numbers(sentence)
        return sorted(numbers)[place] if len(numbers) == 2 else None

    return read


def _nodes(sentence: Sentence, _inventory: Inventory) -> Value | None:
    numbers = _numbers(sentence)
    if not numbers:
        return 1 if ONE_WORDS & set(sentence.plain.split()) else None
    return numbers[0] if len(numbers) == 1 and 1 <= numbers[0] <= 10 else None


def _number(sentence: Sentence, _inventory: Inventory) -> Value | None:
    numbers = _numbers(sentence)
    return numbers[0] if len(numbers) == 1 else None


def _weights(sentence: Sentence, inventory: Inventory) -> Value | None:
    """Shares by version; what one version leaves goes to the only other that is deployed."""
    versions, shares = sentence.names("version"), _numbers(sentence)
    names = sentence.names("slice")
    deployed = inventory.versions.get(names[0], ()) if len(names) == 1 else ()
    if len(versions) == 1 and len(shares) == 1 and shares[0] <= 100:
        others = [each for each in deployed if each != versions[0]]
        if shares[0] == 100 or len(others) == 1:
            rest = {others[0]: 100 - shares[0]} if len(others) == 1 else {}
            return {versions[0]: shares[0], **rest}
    return dict(zip(versions, shares, strict=True)) if versions and len(versions) == len(shares) > 1 else None


def _subject(sentence: Sentence, _inventory: Inventory) -> Value | None:
    named = [
        *(subjects.of_slice(each) for each in sentence.names("slice")),
        *(subjects.of_node(each) for each in sentence.names("node")),
        *(subjects.of_blueprint(each) for each in sentence.names("blueprint")),
    ]
    if len(named) == 1:
        return named[0]
    return subjects.CLUSTER if not named and _CLUSTER.search(sentence.folded) else None


def _named_subject(sentence: Sentence, inventory: Inventory) -> Value | None:
    found = _subject(sentence, inventory)
    return None if found == subjects.CLUSTER else found


def _why(sentence: Sentence, _inventory: Inventory) -> Value | None:
    """What stands behind a word for because, and else what was said."""
    found = _WHY.search(sentence.folded)
    return (sentence.text[-len(found[1]) :] if found else sentence.text)[:WHY_CHARS_MAX]


def _bound(sentence: Sentence, _inventory: Inventory) -> Value | None:
    """The last number that is no part of a metric's own name; of a share in per cent, the share."""
    metric = sentence.names("metric")
    spoken = _DURATION.sub(lambda found: found[0] if found[2] in ("s",) else " ", sentence.folded)
    spoken = re.sub(r"\b(?:for|wahrend|pendant|durante|per) \d+ ?s\w*", " ", re.sub(r"\bp ?\d\d(_ms)?\b", " ", spoken))
    found = re.findall(r"(?<![\w.])(\d+(?:[.,]\d+)?) ?(%|percent|prozent|ms|s\b|sec\w*)?", spoken)
    if len(found) != 1 or not metric:
        return None
    value, unit = float(found[0][0].replace(",", ".")), found[0][1]
    if metric[0] == "errors_share" and unit in ("%", "percent", "prozent"):
        return value / 100
    return value * 1_000 if metric[0].endswith("_ms") and unit.startswith("s") else value


def _seconds(sentence: Sentence) -> int | None:
    found = _DURATION.search(sentence.plain)
    if found is None:
        return None
    count = float(found[1]) if found[1][0].isdigit() else 1
    return round(count * _SECONDS[found[2][:2]])


def _for_s(sentence: Sentence, _inventory: Inventory) -> Value | None:
    found = re.search(r"\b(?:for|wahrend|lang|pendant|durante|per) (\d+) ?(s|sec\w*|sek\w*|min\w*)", sentence.folded)
    return int(found[1]) * _SECONDS[found[2][:2]] if found else None


def _minutes(sentence: Sentence, _inventory: Inventory) -> Value | None:
    seconds = _seconds(sentence)
    return max(1, seconds // 60) if seconds is not None else None


def _level(sentence: Sentence, _inventory: Inventory) -> Value | None:
    found = {_LEVELS[each] for each in sentence.plain.split() if each in _LEVELS}
    return found.pop() if len(found) == 1 else None


def _text(sentence: Sentence, _inventory: Inventory) -> Value | None:
    if quoted := _QUOTED.search(sentence.text):
        return quoted[1]
    found = _SEARCHED.search(sentence.folded)
    return next((each for each in found.groups() if each), None) if found else None


def _value(sentence: Sentence, _inventory: Inventory) -> Value | None:
    names = sentence.names("setting")
    found = _VALUE.search(sentence.plain)
    if len(names) != 1 or found is None:
        return None
    value = from_text(names[0], found[1])
    return value if is_allowed(names[0], value) else None


_SLOTS: Final[dict[str, Callable[[Sentence, Inventory], Value | None]]] = {
    "slice": _only("slice"),
    "node": _only("node"),
    "blueprint": _only("blueprint"),
    "id": _only("proposal"),
    "playbook": _only("playbook"),
    "run": _only("run"),
    "fingerprint": _only("alert"),
    "metric": _only("metric"),
    "name": _only("setting"),
    "instances": _instances,
    "min": _bound_at(0),
    "max": _bound_at(1),
    "nodes": _nodes,
    "number": _number,
    "weights": _weights,
    "subject": _subject,
    "audit_subject": _named_subject,
    "why": _why,
    "bound": _bound,
    "for_s": _for_s,
    "minutes": _minutes,
    "level": _level,
    "log_level": _level,
    "text": _text,
    "value": _value,
}
