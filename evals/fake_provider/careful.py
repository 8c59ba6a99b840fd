"""A policy in the place of a model: it looks first and answers with the evidence that it got. It knows no more than
what rules found and says no more, so that it shows whether the way to a model and back works, and not what a model is
worth."""

from __future__ import annotations

import re
from typing import Final, cast

import msgspec

from evals.fake_provider import reading
from evals.fake_provider.script import Called, Json, Line, Seen
from evals.scenarios.told import MEANS

HYPOTHESES_MAX: Final = 4
_WORDS: Final = {mechanism: word for word, means in MEANS.items() for mechanism in means}
_MEND: Final = re.compile(r"\b(mend|repair|well again|quick again)\b")
_ASKS: Final = re.compile(r"\b(why|how|what|which)\b|\?")


def careful(seen: Seen) -> Line:
    """Implements Script. Which step of which graph asks is told by what the answer must be."""
    wanted = seen.wanted
    if "hypotheses" in wanted:
        return _suppose(seen)
    if "verdict" in wanted:
        return _probe(seen)
    if "roots" in wanted:
        return _conclude(seen)
    if "why" in wanted:
        return _mend(seen)
    if "command" in wanted:
        return said(command=0)  # it reads no sentence better than rules
    if "doubts" in wanted:
        return said(doubts=[])
    if "choice" in wanted:
        return said(choice="tree", reason="A policy of ours sides with the rules.", instances=0)
    return _chat(seen)


def said(**answer: object) -> Line:
    return Line(says=msgspec.json.encode(answer).decode())


def answered(*claims: tuple[str, list[str]], cards: list[str] | None = None) -> Line:
    told = [{"evidence": evidence[:8], "text": text} for text, evidence in claims]
    return said(claims=told, plots=[], cards=(cards or [])[:4])


def call(name: str, **arguments: object) -> Called:
    return Called(name=name, arguments=arguments)


def _suppose(seen: Seen) -> Line:
    rules = _rules(seen)
    found = [
        {"root": root, "mechanism": _mechanism(seen, rules, root), "expects": "What rules saw is seen again."}
        for root in _roots(rules)[:HYPOTHESES_MAX]
    ]
    return said(hypotheses=found)


def _probe(seen: Seen) -> Line:
    root = str(cast(Json, reading.facts(seen).get("hypothesis", {})).get("root", ""))
    kind, _, name = root.partition(":")
    if not seen.results:
        looks = {"slice": call("metric_show", slice=name), "node": call("metric_show-node", node=name)}
        return Line(calls=(looks.get(kind, call("cluster_status")),))
    evidence = reading.evidence(seen)
    claims = [{"evidence": evidence, "text": "The figures were looked at."}] if evidence else []
    return said(verdict="supports" if evidence else "unclear", claims=claims)


def _conclude(seen: Seen) -> Line:
    rules = _rules(seen)
    roots = _roots(rules)
    known = {
        "roots": roots,
        "mechanism": _mechanism(seen, rules, roots[0]) if roots else "none" if rules.get("well") else "unknown",
        "confidence": 0.5,
        "gaps": [],
    }
    claims = [
        {"text": f"It begins with `{root.partition(':')[2]}`.", "evidence": _evidence(rules, root)}
        for root in roots[:8]
    ]
    return said(**known, claims=claims or [{"text": "No cause was found.", "evidence": []}])


def _mend(seen: Seen) -> Line:
    if seen.results:
        made = reading.cards(seen)[:1]
        return said(cards=made, why="It is what helps against such a cause." if made else "It cannot be planned now.")
    given = reading.facts(seen)
    concluded = cast(Json, reading.plain(given.get("conclusion", {})))
    change = _change(str(concluded.get("mechanism", "")), cast(list[str], concluded.get("roots", [])), seen.said)
    return Line(calls=(change,)) if change is not None else said(cards=[], why="Nothing that I know mends this.")


def _change(mechanism: str, roots: list[str], asked: str) -> Called | None:
    kind, _, name = (roots[0] if roots else "").partition(":")
    if kind == "node":
        return call("node_drain", node=name) if mechanism == "node_fault" else None
    match mechanism:
        case "bad_change":
            playbook = "latency-high" if "slow" in asked else "error-budget-burn"
            return call("playbook_run", playbook=playbook, params={"slice": name})
        case "memory" | "configuration" | "certificate" | "dependency_errors" | "dependency_slow":
            return call("slice_restart", slice=name)
    return None


def _chat(seen: Seen) -> Line:
    slices = [each for each in reading.names(seen, "slice") if re.search(rf"\b{re.escape(each)}\b", seen.said)]
    if not seen.results:
        number = re.search(r"\b\d{1,6}\b", seen.said)
        if slices and _MEND.search(seen.said):
            return Line(calls=(call("investigate", slice=slices[0]),))
        if slices and number and not _ASKS.search(seen.said):
            return Line(calls=(call("slice_scale", slice=slices[0], instances=int(number[0])),))
        return Line(calls=(call("cluster_status"), *(call("slice_explain", slice=each) for each in slices[:2])))
    if reading.conclusion(seen):
        return Line(calls=(call("remediate", conclusion=reading.conclusion(seen)),))
    made, evidence = reading.cards(seen), reading.evidence(seen)
    if made:
        return answered(("See the card.", []), cards=made)
    if evidence:
        return answered(("This is what the cluster says of itself now.", evidence))
    return answered(("People decide about what was proposed." if "proposal" in seen.last else "Nothing is known.", []))


def _rules(seen: Seen) -> Json:
    return cast(Json, reading.plain(reading.facts(seen).get("rules", {})))


def _roots(rules: Json) -> list[str]:
    return [str(each) for each in cast(list[object], rules.get("roots", []))]


def _findings(rules: Json, root: str) -> list[Json]:
    return [each for each in cast(list[Json], rules.get("findings", [])) if each.get("root") == root]


def _evidence(rules: Json, root: str) -> list[str]:
    return [str(each) for found in _findings(rules, root)[:1] for each in cast(list[object], found["evidence"])]


def _mechanism(seen: Seen, rules: Json, root: str) -> str:
    """The rules' word in those that a model may use."""
    own = next((str(each["mechanism"]) for each in _findings(rules, root)), "")
    may = reading.allowed(seen, "mechanism")
    return next((each for each in (own, _WORDS.get(own, "")) if each in may), "unknown")
