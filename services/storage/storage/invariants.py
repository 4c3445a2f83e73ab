"""Facts about assets and derivatives that must always hold, beside those that are constraints of their tables."""

from kit.invariants import Invariant

INVARIANTS = (
    Invariant(
        "assets_are_registered_in_time",
        "No asset is registering for longer than ten minutes.",
        "SELECT id, job_id, attempts FROM assets"
        " WHERE due_at IS NOT NULL AND state = 'registering' AND created_at < now() - interval '10 minutes'",
    ),
    Invariant(
        "derivatives_are_made_in_time",
        "No derivative is in the making for longer than an hour.",
        "SELECT id, attempts FROM derivatives"
        " WHERE due_at IS NOT NULL AND state = 'making' AND created_at < now() - interval '1 hour'",
    ),
    Invariant(
        "derivatives_are_of_stored_assets",
        "Only a stored asset has derivatives.",
        "SELECT d.id FROM derivatives d JOIN assets a ON a.id = d.asset_id WHERE a.state <> 'stored'",
    ),
)
