"""The model: a small mixer over patches of time, in the manner of TSMixer and Tiny Time Mixers, with three channels
(the last hour, a day ago, a week ago) and quantiles that cannot cross. Normalisation is part of it.

Sources: Chen et al., TSMixer, 2023; Ekambaram et al., Tiny Time Mixers, 2024."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from controllers.ttm.head import CLIP
from controllers.ttm.schema import ALIGNED, HORIZONS, MEDIAN, QUANTILES

PATCH: Final = 10  # minutes
TOKENS: Final = ALIGNED // PATCH  # the last of which lies ahead: only what followed a day and a week ago is known of it
CHANNELS: Final = 3
WIDTH: Final = 40
BLOCKS: Final = 3
EXPANSION: Final = 2
HIDDEN: Final = 80
DROPOUT: Final = 0.1
NEWEST: Final = 12  # minutes that the head sees as they are, beside the mixer's view of all
STATICS: Final = 4
FEATURE_COUNT: Final = HIDDEN + NEWEST + 2 * (HORIZONS + 2) + STATICS

UNIT_SHARE: Final = 0.02  # of the mean of all that is known, added to the unit: a quiet hour is no tiny one
UNIT_LEAST: Final = 1e-3  # requests a minute
SPREAD_LEAST: Final = 0.03  # in asinh(load / unit): about 3 % of the load
EXPONENT_MAX: Final = 12.0  # sinh(12) is 81,000 times the unit; more is no forecast but an overflow


class Block(nn.Module):
    """Mixes over time, then over features behind a gate; both beside a path that leaves all as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.time_norm, self.feature_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.time, self.feature = _mlp(TOKENS), _mlp(WIDTH)
        self.gate = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        """[n, TOKENS, WIDTH] to the same."""
        mixed = tokens + self.time(self.time_norm(tokens).transpose(1, 2)).transpose(1, 2)
        normed = self.feature_norm(mixed)
        return mixed + self.feature(normed) * torch.sigmoid(self.gate(normed))


def _mlp(width: int) -> nn.Sequential:
    inner = EXPANSION * width
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(inner, width))


class Mixer(nn.Module):
    """Called with schema's inputs; gives its outputs, the quantiles still normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(CHANNELS * (PATCH + 1), WIDTH)
        self.place = nn.Parameter(torch.zeros(1, TOKENS, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.hidden = nn.Sequential(nn.Linear(TOKENS * WIDTH, HIDDEN), nn.GELU())
        self.head = nn.Linear(FEATURE_COUNT, HORIZONS * len(QUANTILES))

    def forward(self, recent: Tensor, day_ago: Tensor, week_ago: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised quantiles [n, HORIZONS, len(QUANTILES)], features, normalisation."""
        features, normalisation = self.features(recent, day_ago, week_ago)
        return quantiles_of(self.head(features), normalisation), features, normalisation

    def features(self, recent: Tensor, day_ago: Tensor, week_ago: Tensor) -> tuple[Tensor, Tensor]:
        """[n, FEATURE_COUNT] and [n, 4]."""
        ahead = torch.full_like(recent[:, :HORIZONS], float("nan"))
        loads = torch.stack([torch.cat([recent, ahead], 1), day_ago, week_ago], 1)  # [n, CHANNELS, ALIGNED]
        known = (~torch.isnan(loads)).to(loads.dtype)
        loads = torch.where(torch.isnan(loads), torch.zeros_like(loads), loads)
        normalisation = normalisation_of(loads, known)
        seen = known * normalise(loads, normalisation[:, None, :])
        tokens = self.embed(_patches(seen, known)) + self.place
        mixed = self.hidden(self.blocks(tokens).flatten(1))
        return torch.cat([mixed, *_direct(seen, known, normalisation)], 1), normalisation


def _patches(seen: Tensor, known: Tensor) -> Tensor:
    """[n, TOKENS, CHANNELS * (PATCH + 1)]: each patch's minutes, and which part of them is known."""
    shape = (-1, CHANNELS, TOKENS, PATCH)
    shares = known.reshape(shape).mean(-1, keepdim=True)
    return torch.cat([seen.reshape(shape), shares], -1).transpose(1, 2).flatten(2)


def _direct(seen: Tensor, known: Tensor, normalisation: Tensor) -> list[Tensor]:
    """What the head sees unmixed."""
    now = ALIGNED - HORIZONS
    return [
        seen[:, 0, now - NEWEST : now] - normalisation[:, 3:4] * known[:, 0, now - NEWEST : now],
        (seen[:, 1:, now - 2 :] - normalisation[:, 3:4, None] * known[:, 1:, now - 2 :]).flatten(1),
        known.mean(-1),
        torch.log(normalisation[:, 2:3]),
    ]


def normalisation_of(loads: Tensor, known: Tensor) -> Tensor:
    """unit, location, spread and anchor of each row, from what is known of the last hour."""
    recent, there = loads[:, 0], known[:, 0]
    count = there.sum(1, keepdim=True).clamp(min=1.0)
    overall = loads.sum((1, 2))[:, None] / known.sum((1, 2))[:, None].clamp(min=1.0)
    unit = recent.sum(1, keepdim=True) / count + UNIT_SHARE * overall + UNIT_LEAST
    bent = asinh(recent / unit)
    location = (bent * there).sum(1, keepdim=True) / count
    spread = torch.sqrt(((bent - location) ** 2 * there).sum(1, keepdim=True) / count).clamp(min=SPREAD_LEAST)
    newest = (there * torch.arange(1, ALIGNED + 1, dtype=loads.dtype)).argmax(1, keepdim=True)
    anchor = ((bent.gather(1, newest) - location) / spread).clamp(-CLIP, CLIP)
    return torch.cat([unit, location, spread, anchor], 1)


def normalise(load: Tensor, normalisation: Tensor) -> Tensor:
    """As head.normalised."""
    unit, location, spread = (normalisation[..., at : at + 1] for at in range(3))
    return ((asinh(load / unit) - location) / spread).clamp(-CLIP, CLIP)


def quantiles_of(raw: Tensor, normalisation: Tensor) -> Tensor:
    """As head.quantiles_of."""
    cells = raw.reshape(-1, HORIZONS, len(QUANTILES))
    median = normalisation[:, 3:4, None] + cells[..., MEDIAN : MEDIAN + 1]
    steps = nn.functional.softplus(cells)
    above = torch.cumsum(steps[..., MEDIAN + 1 :], -1)
    below = torch.cumsum(steps[..., :MEDIAN].flip(-1), -1).flip(-1)
    return torch.cat([median - below, median, median + above], -1)


def loads_of(quantiles: Tensor, normalisation: Tensor) -> Tensor:
    """Normalised quantiles as requests a minute, at least 0; what is no finite number becomes NaN."""
    unit, location, spread = (normalisation[:, at : at + 1, None] for at in range(3))
    bent = (quantiles * spread + location).clamp(0.0, EXPONENT_MAX)
    loads = (torch.exp(bent) - torch.exp(-bent)) / 2 * unit  # sinh, which torch does not export
    return loads + (quantiles - quantiles)  # onnxruntime's clamp makes 0 of NaN, which would be a forecast of no load


def asinh(load: Tensor) -> Tensor:
    """Of what is not negative; torch does not export its own."""
    return torch.log(load + torch.sqrt(load * load + 1))
