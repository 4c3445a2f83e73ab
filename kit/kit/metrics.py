"""Every Prometheus metric of Atelier, declared once."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS_SENT = Counter("atelier_events_sent_total", "Events acknowledged by Kafka.", ["service"])
RELAY_ACTIVE = Gauge(
    "atelier_relay_active", "1 while this process holds the relay lock of its service and Kafka answers.", ["service"]
)
CONSUMER_ACTIVE = Gauge(
    "atelier_consumer_active", "1 while this process takes part in its group and Kafka answers.", ["service"]
)
OUTBOX_PENDING = Gauge("atelier_outbox_pending", "Committed events that are not sent yet.", ["service"])
OUTBOX_AGE = Gauge("atelier_outbox_age_seconds", "Age of the oldest event that is not sent.", ["service"])

MESSAGES = Counter(
    "atelier_messages_total",
    "Messages by final outcome: done, duplicate, ignored, parked, dead.",
    ["service", "type", "outcome"],
)
BATCH_SECONDS = Histogram(
    "atelier_batch_seconds",
    "Time to handle one batch, commit included.",
    ["service"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BATCHES_REPEATED = Counter("atelier_batches_repeated_total", "Batches repeated after a transient error.", ["service"])
CONSUMER_LAG = Gauge("atelier_consumer_lag", "Records between the group's position and the end.", ["service", "topic"])
RECORDS_LOST = Counter(
    "atelier_records_lost_total", "Records that expired before the group had read them.", ["service"]
)
DEAD_LETTERS = Gauge("atelier_dead_letters", "Messages set aside, by state.", ["service", "state"])

LEASES_CLAIMED = Counter("atelier_leases_claimed_total", "Rows of due work taken.", ["service", "work"])
LEASES_LOST = Counter("atelier_leases_lost_total", "Leases that ended before their work did.", ["service", "work"])
WORK_SECONDS = Histogram(
    "atelier_work_seconds",
    "Time of one piece of leased work.",
    ["service", "work"],
    buckets=(0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120),
)
COALESCED = Histogram(
    "atelier_coalesced_writes",
    "Writes that shared one transaction.",
    ["service"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)

DEPENDENCY_UP = Gauge(
    "atelier_dependency_up", "1 while a server answers that a service can do without.", ["service", "dependency"]
)
HTTP_REQUESTS = Counter(
    "atelier_http_requests_total",
    "HTTP requests; an error of 500 and above is no fault of the service with the excuse busy (refused under load),"
    " unset (the operator has not set it up) or owner (another service's answer, which counts it too).",
    ["service", "method", "route", "status", "excuse"],
)
HTTP_SECONDS = Histogram(
    "atelier_http_seconds",
    "Time until the answer to an HTTP request begins.",
    ["service", "route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
INVARIANT_VIOLATIONS = Gauge(
    "atelier_invariant_violations", "Rows that contradict an invariant.", ["service", "invariant"]
)
INVARIANTS_INTERVAL = Gauge(
    "atelier_invariants_interval_seconds", "Time from one check of an invariant to its next.", ["service"]
)
INVARIANT_CHECKED = Gauge(
    "atelier_invariant_checked_timestamp_seconds", "When an invariant was last checked.", ["service", "invariant"]
)
