"""Before anything is sold: does every price of the settings exist in this Stripe account, of the right kind?"""

import structlog

from billing.payments.errors import StripeRefusedError, StripeUnavailableError
from billing.payments.offers import Offers
from billing.payments.stripe_api import StripeApi
from kit.settings import ConfigurationError

log = structlog.get_logger()


async def check_prices(api: StripeApi, offers: Offers) -> None:
    """Raise ConfigurationError that names each offer at fault. A Stripe that is away is no fault of the settings."""
    try:
        faults = [fault for offer in offers.all() if (fault := await api.fault_of(offer))]
    except StripeUnavailableError as error:
        log.warning("prices.not_checked", reason=str(error))
        return
    except StripeRefusedError as error:
        raise ConfigurationError(f"BILLING_STRIPE_API_KEY: {error}") from error
    if faults:
        raise ConfigurationError("\n".join(f"BILLING_PACKS, BILLING_PLANS: {fault}" for fault in faults))
    log.info("prices.checked", offers=len(offers.all()))
