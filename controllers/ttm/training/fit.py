"""Learning: windows in, a model out, the same for the same seed on one thread."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from controllers.ttm.corpus import Windows
from controllers.ttm.schema import QUANTILES
from controllers.ttm.training.mixer import Mixer, loads_of, normalise
from controllers.ttm.training.sampling import Sampler

BATCH: Final = 512
RATE: Final = 2e-3
RATE_LEAST: Final = 1e-5
WARM_UP: Final = 50  # steps
DECAY: Final = 1e-3  # of weights
GRADIENT_MAX: Final = 1.0
MEMORY: Final = 0.998  # of the average over steps that becomes the model: it is steadier than any one step
TELL_EACH: Final = 25  # steps

Told = Callable[[int, float], None]
_LEVELS: Final = torch.tensor(QUANTILES)
_SCORED: Final = [QUANTILES.index(each) for each in (0.1, 0.25, 0.5, 0.75, 0.9)]
_BAND: Final = (QUANTILES.index(0.05), QUANTILES.index(0.95))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """On windows that were held back. weighted: 2 x pinball loss over the load, at quantiles 0.1 to 0.9; coverage: how
    much of the load lay between 0.05 and 0.95."""

    pinball: float
    weighted: float
    coverage: float


def fit(sampler: Sampler, *, steps: int, seed: int, told: Told) -> Mixer:
    """told hears the step and the loss of late."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    model = Mixer().train()
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    late = 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps)
        loss = learn(model, optimiser, sampler.draw(BATCH))
        memory = min(MEMORY, (step + 1) / (step + 10))
        for name, value in model.state_dict().items():
            average[name].mul_(memory).add_(value, alpha=1 - memory)
        late = loss if not step else 0.95 * late + 0.05 * loss
        if step % TELL_EACH == 0 or step == steps - 1:
            told(step + 1, late)
    model.load_state_dict(average)
    return model.eval()


def learn(model: Mixer, optimiser: torch.optim.Optimizer, windows: Windows) -> float:
    """One step; gives its loss."""
    recent, day_ago, week_ago, target = tensors(windows)
    quantiles, _, normalisation = model(recent, day_ago, week_ago)
    loss = pinball(quantiles, normalise(target, normalisation))
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_MAX)
    optimiser.step()
    return float(loss.detach())


def pinball(quantiles: Tensor, target: Tensor) -> Tensor:
    """Mean over what is known of the target. quantiles [n, 10, 8], target [n, 10]. Source: Koenker & Bassett 1978."""
    known = ~torch.isnan(target)
    error = torch.where(known, target, torch.zeros_like(target))[..., None] - quantiles
    loss = torch.maximum(_LEVELS * error, (_LEVELS - 1) * error) * known[..., None]
    return loss.sum() / (known.sum() * len(QUANTILES))


def rate(step: int, steps: int) -> float:
    """Of learning: up over WARM_UP steps, then down along a cosine."""
    return RATE_LEAST + RATE * min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


def tensors(windows: Windows) -> list[Tensor]:
    return [torch.from_numpy(each) for each in (windows.recent, windows.day_ago, windows.week_ago, windows.target)]


def judge(model: Mixer, windows: Windows) -> Figures:
    recent, day_ago, week_ago, target = tensors(windows)
    with torch.no_grad():
        quantiles, _, normalisation = model(recent, day_ago, week_ago)
        loads = loads_of(quantiles, normalisation)
        loss = pinball(quantiles, normalise(target, normalisation))
        known = ~torch.isnan(target)
        came, said = target[known], loads[known]
        levels, error = _LEVELS[_SCORED], came[:, None] - said[:, _SCORED]
        losses = 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)
        inside = (came >= said[:, _BAND[0]]) & (came <= said[:, _BAND[1]])
    return Figures(
        pinball=float(loss),
        weighted=float(losses.sum() / came.abs().sum().clamp(min=1e-9)),
        coverage=float(inside.to(torch.float32).mean()),
    )
