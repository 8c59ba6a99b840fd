"""What training anew showed, for people and for machines."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class RetrainingReport:
    """`took_s`: by what was waited for. Losses are the challenger's over the champion's, on data held back from it."""

    seed: int
    took_s: dict[str, float] = field(default_factory=dict)
    causes: list[str] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    minutes_said: int = 0
    """In a row, each forecast just before it began, with the change of models among them."""
    looks: int = 0
    """At the forecast while models changed; each found one."""
    why_back: str = ""
    carries: dict[str, float] = field(default_factory=dict)
    """Calls a second of an instance, by who said it."""
    failure: str = ""

    @property
    def passed(self) -> bool:
        return not self.failure

    def lines(self) -> list[str]:
        rows = [f"{what:<58} {took_s:6.1f} s" for what, took_s in self.took_s.items()]
        rows += [
            f"trained for {cause}; loss on data held back {loss:.3f} of the champion's"
            for cause, loss in zip(self.causes, self.losses, strict=True)
        ]
        if self.minutes_said:
            rows.append(f"{self.minutes_said} minutes in a row were forecast (those before the lead, anew)")
            rows.append(f"{self.looks} looks while the model changed found a forecast each")
        if self.why_back:
            rows.append(f"went back: {self.why_back}")
        rows += [f"an instance carries {rate:.1f} calls a second, says the {who}" for who, rate in self.carries.items()]
        verdict = "passed" if self.passed else f"FAILED: {self.failure}"
        return [*rows, f"retraining, seed {self.seed}: {verdict}"]

    def figures(self) -> dict[str, object]:
        return {
            "seed": self.seed,
            "passed": self.passed,
            "failure": self.failure,
            "took_s": {what: round(took_s, 1) for what, took_s in self.took_s.items()},
            "causes": self.causes,
            "losses": self.losses,
            "minutes_said": self.minutes_said,
            "looks": self.looks,
            "why_back": self.why_back,
            "carries": {who: round(rate, 2) for who, rate in self.carries.items()},
        }
