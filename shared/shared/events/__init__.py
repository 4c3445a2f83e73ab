"""Every event of Atelier, one module per topic. ``EVENTS`` is the list that documents and schemas are made from."""

from shared.contract import Event
from shared.events.accounts import AccountRegistered, AccountSignedIn
from shared.events.assets import AssetRejected, AssetStored
from shared.events.credits import (
    BalanceLow,
    CreditsClawedBack,
    CreditsExpired,
    CreditsGranted,
    CreditsHeld,
    CreditsRefused,
    CreditsSettled,
    HoldOverdue,
    SpendAlert,
)
from shared.events.deliveries import DeliveryFailed, DeliverySucceeded
from shared.events.generation import ArtifactProduced, JobCancelled, JobFailed, JobRefused, JobSucceeded
from shared.events.jobs import JobCancelRequested, JobRequested
from shared.events.subscriptions import SubscriptionChanged
from shared.events.webhooks import WebhookReceived

EVENTS: tuple[type[Event], ...] = (
    JobRequested,
    JobCancelRequested,
    AccountRegistered,
    AccountSignedIn,
    WebhookReceived,
    CreditsHeld,
    CreditsRefused,
    HoldOverdue,
    CreditsSettled,
    CreditsGranted,
    CreditsExpired,
    CreditsClawedBack,
    BalanceLow,
    SpendAlert,
    SubscriptionChanged,
    ArtifactProduced,
    JobSucceeded,
    JobFailed,
    JobCancelled,
    JobRefused,
    AssetStored,
    AssetRejected,
    DeliverySucceeded,
    DeliveryFailed,
)

__all__ = [
    "EVENTS",
    "AccountRegistered",
    "AccountSignedIn",
    "ArtifactProduced",
    "AssetRejected",
    "AssetStored",
    "BalanceLow",
    "CreditsClawedBack",
    "CreditsExpired",
    "CreditsGranted",
    "CreditsHeld",
    "CreditsRefused",
    "CreditsSettled",
    "DeliveryFailed",
    "DeliverySucceeded",
    "HoldOverdue",
    "JobCancelRequested",
    "JobCancelled",
    "JobFailed",
    "JobRefused",
    "JobRequested",
    "JobSucceeded",
    "SpendAlert",
    "SubscriptionChanged",
    "WebhookReceived",
]
