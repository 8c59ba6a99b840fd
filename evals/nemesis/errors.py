"""What a campaign cannot do, and what it must never see."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class CampaignFault(RuntimeFault):
    """Base of what keeps a campaign from running: no promise of the store was broken."""

    code = "campaign_fault"


class CampaignRefused(CampaignFault):
    """It cannot be run like this."""

    code = "campaign_refused"


class NotThere(CampaignFault):
    """What should have come about was not seen in time."""

    code, retryable = "not_seen", True
    remedy = "See the stores' logs in the directory; on a busy machine run it again."


class PromiseBroken(Exception):
    """The store did what it promises never to do."""
