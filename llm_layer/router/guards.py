"""What keeps a change from being shown as a card: negations, questions, and words that say the opposite.

They only ever turn a card into choices. A classifier that reads letters takes "lift the cordon" for "cordon".
"""

from __future__ import annotations

import re
from typing import Final

from llm_layer.router.counts import says_from_now, why_no_count
from llm_layer.router.intents import INTENTS
from llm_layer.router.inventory import Inventory
from llm_layer.router.masking import Sentence
from llm_layer.router.moods import why_not_asked
from llm_layer.router.words import NEGATIONS, QUESTIONS

OPPOSITE: Final = {
    "node.cordon": "node.uncordon",
    "node.drain": "node.activate",
    "node.shutdown": "node.activate",
    "freeze.set": "freeze.lift",
    "incident.open": "incident.close",
    "controller.pin": "controller.unpin",
    "alert.set-threshold": "alert.clear-threshold",
    "config.set": "config.unset",
    "run.pause": "run.resume",
    "alert.ack": "alert.unack",
}
_UNDOING: Final = frozenset(OPPOSITE.values())
_BACK: Final = re.compile(
    r"\b(again|back|lift\w*|undo|un[a-z]{3,}|remove|removed|end|ended|over|release|resolved?|resolves|clear"
    r"|cleared|close|closed"
    r"|finished|done|repaired|fixed|thaw|activate|enable|re-enable|reenable|return|allow|allowed|ended|default"
    r"|reset|drop|delete"
    r"|stop alerting|no more|hand|let \w+ (?:auto)?scale|ready|healthy|restore|resume|reopen|permit|free|ok"
    r"|wieder|zuruck|hebe|heb|aufheben|auf(?:zu)?heben|losche?|loschen|entsperr\w*|entfern\w*|beende\w*|vorbei"
    r"|erledigt|gelost|behoben"
    r"|taue|auftauen|lose|losen|schliesse?n?|aktivier\w*|freigeben|frei|standard|keine warn\w*|repariert|erlaub\w*"
    r"|fertig|weg|losch\w*"
    r"|leve|lever|levez|debloque\w*|degele\w*|de nouveau|a nouveau|remet\w*|ferme\w*|clos|clore|termine\w*"
    r"|fini\w*|libere\w*|reactive\w*"
    r"|rends|active|autorise\w*|enleve\w*|supprime\w*|annule\w*|defaut|plus d'alertes?|repare|resolu|fin|retire\w*"
    r"|retablis\w*"
    r"|levanta\w*|quita\w*|desbloque\w*|descongel\w*|otra vez|de nuevo|vuelve|cierra\w*|termin\w*|resuelto"
    r"|suelta|devuelve|reactiva\w*"
    r"|activa|permit\w*|elimina\w*|defecto|no mas|reparado|libera\w*|borra\w*|acab\w*"
    r"|togli\w*|sblocc\w*|scongel\w*|(?<!niente )(?<!nulla )di nuovo|rimett\w*|chiudi\w*|finit\w*"
    r"|risolto|ridai|riattiv\w*"
    r"|attiva"
    r"|basta|predefinito|riport\w*"
    r"|riparat\w*|libera|cancella\w*|rimuov\w*"
    r"|hef|heft|opheffen|weer|terug\w*|ontdooi\w*|vrijgeven|hervat\w*|opgelost|klaar|verwijder\w*|haal .{1,60} weg"
    r"|sluit het|hersteld|gerepareerd|heropen\w*|einde|los|losmaken|standaard|geen alarm"
    r"|tira o|volta\w*|retoma\w*|reativ\w*|religa\w*|resolvido|acabou|encerra\w*|fecha\w*|solta|devolve\w*"
    r"|consertado|apaga\w*|padrao)\b"
)
_STOPS: Final = re.compile(
    r"\b(no (?:new|more)|stop|keine? (?:neue\w*|weitere\w*)|nichts|plus d'instances|plus de nouvelles|ne mets plus"
    r"|sin|no pongas|nao (?:coloque|ponha)s?|nada de novo|nenhum\w*|niets(?: nieuws)?|geen (?:nieuwe\w*|wijzigingen)"
    r"|nessun\w*|non mettere|block\w*|nothing|must not|do not (?:put|place|schedule)|don't (?:put|place|schedule))\b"
)
_UP: Final = re.compile(
    r"\b(up|increase|grow|raise|hoch|erhohe|mehr|augmente|monte|sube|aumenta|more|verhoog|omhoog|sobe)\b"
)
_DOWN: Final = re.compile(
    r"\b(down|reduce|shrink|lower|decrease|runter|reduziere|reduis|baja|riduci|fewer|verlaag|omlaag|baixa|reduz)\b"
)
_INSTANCES: Final = re.compile(r"\b(scale|skalier\w*|escala\w*|instan\w+|replica\w*)\b")
_POLITE: Final = re.compile(
    r"^(can|could|would|will) (you|we|i)\b|^(kannst|konntest|konnen|wurdest) (du|sie|wir)\b"
    r"|^(peux|pourrais)-tu\b"
    r"|^(tu peux|puedes|podrias|puoi|potresti|pode|podes|poderia|podias|kun je|kunt u|zou je)\b"
)
_ASKS_WHETHER: Final = re.compile(
    r"\b(should (i|we)|soll(te)?n? (ich|wir)|dois-je|devrais|debo|deberia|devo|dovrei"
    r"|(moet|moeten|zal|zullen) (ik|we|wij))\b"
)


def why_no_card(operation: str, sentence: Sentence, params: dict[str, object], inventory: Inventory) -> str:
    """Empty where the sentence says nothing against it."""
    if not INTENTS[operation].changes:
        return ""
    low = sentence.folded.lstrip("\u00bf\u00a1 ")
    if NEGATIONS.search(_STOPS.sub(" ", low)) and not _says_stop(operation, low):
        return "the sentence says what shall not be"
    polite = bool(_POLITE.search(low))
    if (QUESTIONS.search(low) or _ASKS_WHETHER.search(low)) and not polite:
        return "this is a question, and that would be a change"
    if why := why_not_asked(operation, sentence, polite=polite):
        return why
    back = bool(_BACK.search(_STOPS.sub(" ", low)))
    if operation in OPPOSITE and back:
        return f"it may mean the opposite, {OPPOSITE[operation]}"
    if operation in _UNDOING and not back:
        return "nothing in it says that something shall end"
    return why_no_count(operation, sentence) or _against_direction(operation, sentence, params, inventory)


def _says_stop(operation: str, low: str) -> bool:
    """Some changes are themselves a stop: "no new instances on n1"."""
    return operation in ("node.cordon", "freeze.set", "controller.pin", "alert.clear-threshold") and bool(
        _STOPS.search(low)
    )


def _against_direction(operation: str, sentence: Sentence, params: dict[str, object], inventory: Inventory) -> str:
    """Scaling "down to 9" where 3 are wanted now is a slip of somebody's."""
    low, now, then = sentence.folded, inventory.wanted.get(str(params.get("slice"))), params.get("instances")
    if operation == "slice.set-bounds" and says_from_now(sentence, now):
        return f"it may mean slice.scale, as {now} are wanted now"
    if operation == "slice.set-routing-weights" and _INSTANCES.search(low):
        return "it may mean slice.scale"
    if operation != "slice.scale":
        return ""
    if now is None or not isinstance(then, int):
        return ""
    if _UP.search(low) and not _DOWN.search(low) and then < now:
        return f"it says up, and {then} is fewer than the {now} of now"
    if _DOWN.search(low) and not _UP.search(low) and then > now:
        return f"it says down, and {then} is more than the {now} of now"
    return ""
