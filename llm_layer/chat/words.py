"""What rules found, in sentences."""

from __future__ import annotations

from llm_layer.chat.events import Text
from llm_layer.diagnosis.decide import Diagnosis


def in_words(diagnosis: Diagnosis) -> list[Text]:
    """The likeliest cause first, then what else was found, then what could not be looked at."""
    who = diagnosis.slice or "the cluster"
    if diagnosis.well:
        found = [Text(text=f"Nothing is out of the ordinary with {who}.")]
    else:
        symptoms = f" ({diagnosis.symptoms})" if diagnosis.symptoms else ""
        words = [each.says for each in diagnosis.findings]
        found = [
            Text(
                text=f"The likeliest cause{symptoms}: {words[0]}."
                if words
                else f"{who} is unwell{symptoms}, and no rule of mine finds why.",
                evidence=diagnosis.findings[0].evidence if words else (),
            )
        ]
        found += [Text(text=f"Also: {each.says}.", evidence=each.evidence) for each in diagnosis.findings[1:]]
    return [*found, *(Text(text=f"Not known: {each}.") for each in diagnosis.gaps)]
