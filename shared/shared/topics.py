"""Every topic of Atelier, declared once. ``migrate`` makes them; nobody types a topic name elsewhere."""

from shared.contract import Topic

GATEWAY_JOBS = Topic("gateway.jobs", key="job_id")
GATEWAY_ACCOUNTS = Topic("gateway.accounts", key="account_id")
GATEWAY_WEBHOOKS = Topic("gateway.webhooks", key="subject")
BILLING_CREDITS = Topic("billing.credits", key="account_id")
GENERATION_JOBS = Topic("generation.jobs", key="job_id")
STORAGE_ASSETS = Topic("storage.assets", key="asset_id")
PUBLISHING_POSTS = Topic("publishing.posts", key="delivery_id")

TOPICS = (
    GATEWAY_JOBS,
    GATEWAY_ACCOUNTS,
    GATEWAY_WEBHOOKS,
    BILLING_CREDITS,
    GENERATION_JOBS,
    STORAGE_ASSETS,
    PUBLISHING_POSTS,
)
