"""Words of several languages that mean the same to the router: numbers, metrics, negations, ways to undo."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

TOKEN: Final = re.compile(r"[^\W_](?:[\w.\-:]*[\w])?|%|/|=|\d")
VERSION: Final = re.compile(r"v?\d+(?:\.\d+){2,}(?:[.\-+]?\w+)*|v\d+(?:\.\d+)?")
NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)?")
NUMBER_WITH_UNIT: Final = re.compile(r"(\d+(?:[.,]\d+)?)(ms|s|sec|min|m|h|x|k)")

NUMBER_WORDS: Final = {
    word: number
    for number, words in {
        0: "zero null zéro cero",
        2: "two zwei deux dos due zwo",
        3: "three drei trois tres tre",
        4: "four vier quatre cuatro quattro",
        5: "five fünf cinq cinco cinque",
        6: "six sechs seis sei",
        7: "seven sieben sept siete sette",
        8: "eight acht huit ocho otto",
        9: "nine neun neuf nueve nove",
        10: "ten zehn dix diez dieci",
        11: "eleven elf onze once undici",
        12: "twelve zwölf douze doce dodici dozen dutzend",
        15: "fifteen fünfzehn quinze quince quindici",
        20: "twenty zwanzig vingt veinte venti",
        30: "thirty dreißig dreissig trente treinta trenta",
        50: "fifty fünfzig cinquante cincuenta cinquanta",
    }.items()
    for word in words.split()
}
ONE_WORDS: Final = frozenset(
    ("one", "single", "another", "ein", "eine", "einen", "einer", "noch", "un", "une", "una", "uno", "otro", "otra")
)
"""Articles too, so they are a number only where one is missing."""
HALF_WORDS: Final = frozenset(["half", "halve", "halbiere", "halbieren", "moitié", "mitad", "metà", "dimezza"])
DOUBLE_WORDS: Final = frozenset(
    ["double", "twice", "verdopple", "verdoppeln", "doppelt", "duplica", "doble", "raddoppia", "doppio", "doubler"]
)
TRIPLE_WORDS: Final = frozenset(["triple", "treble", "verdreifache", "triplica", "tripler"])

METRICS: Final = (  # the first that is found; of the metrics that alerts know
    ("errors_share", r"errors?_share|errors? ?(rate|share|ratio)|fehler(rate|quote|anteil)|taux d.?erreurs?"
                     r"|tasa de error(es)?|tasso di error[ei]|share of errors"),
    ("p50_ms", r"\bp ?50(_ms)?\b|median (latency|latenz)|latence mediane|latencia mediana|latenza mediana"),
    ("p95_ms", r"\bp ?95(_ms)?\b|95th percentile"),
    ("p99_ms", r"\bp ?99(_ms)?\b|99th percentile"),
    ("rejected", r"\brejected\b|rejections|abgelehnte\w*|rejetees?|rechazad[ao]s|rifiutat[ei]"),
    ("slo_burn_5m", r"slo_burn_5m"),
    ("slo_burn_30m", r"slo_burn_30m"),
    ("slo_burn_6h", r"slo_burn_6h"),
    ("slo_burn_3d", r"slo_burn_3d"),
    ("slo_burn_1h", r"slo_burn_1h|slo burn|burn rate"),
    ("forecast_p95_vs_capacity", r"forecast_p95_vs_capacity"),
    ("p99_ms", r"latency|latenz|latence|latencia|latenza|response time|antwortzeit|temps de reponse"
               r"|tiempo de respuesta|tempo di risposta"),
)  # fmt: skip

NEGATIONS: Final = re.compile(
    r"\b(don.?t|do not|does not|doesn.?t|never mind|must not|should not|shouldn.?t|cannot|without"
    r"|never|on no account|nicht|niemals|nie\b|niet\b|nooit|keinesfalls|auf keinen fall|ne \w+ pas|n.\w+ pas"
    r"|ne pas|jamais|non (?!\w*ms)|no (?=\w+[eai]s\b)|nunca|mai\b|nao\b)"
)
QUESTIONS: Final = re.compile(
    r"^(what|which|who|why|when|where|how|is|are|was|were|does|did|has|have|can|could|would|should"
    r"|was|welche[rsn]?|wer|warum|wieso|weshalb|wann|wo|wie|ist|sind|hat|haben|kann|wurde|gibt"
    r"|que|quels?|quelles?|qui|pourquoi|quand|ou|comment|est-ce|y a-t-il|combien|a-t-on"
    r"|qué|cual|cuales|cuál|quien|quién|por que|cuando|donde|dónde|como|cómo|hay|cuantos|cuántos|cuantas"
    r"|o que|quais|quantos|quantas|quem|onde|welke|wat|waarom|hoe|hoeveel|waar|wanneer"
    r"|che|cosa|quale|quali|qual|chi|perche|perché|dove|come|ci sono|quanti|quante|quanto)\b"
)


def folded(text: str) -> str:
    """Lower case without accents, so that who types without them is understood."""
    spread = unicodedata.normalize("NFKD", text.replace("ß", "ss").lower())
    return "".join(each for each in spread if not unicodedata.combining(each)).replace("’", "'")


def metric_in(text: str) -> tuple[str, str] | None:
    """The alert metric that a folded text names, and the words that did."""
    for metric, pattern in METRICS:
        if found := re.search(pattern, text):
            return metric, found[0]
    return None


def number_of(token: str) -> float | None:
    """Of a word without accents; None where it is none."""
    if NUMBER.fullmatch(token):
        return float(token.replace(",", "."))
    if found := NUMBER_WITH_UNIT.fullmatch(token):
        return float(found[1].replace(",", "."))
    value = _FOLDED_NUMBERS.get(token)
    return None if value is None else float(value)


_FOLDED_NUMBERS: Final = {folded(word): number for word, number in NUMBER_WORDS.items()}
