"""Facts about assets and derivatives that must always hold."""

from kit.invariants import Invariant

INVARIANTS = (
    Invariant(
        "assets_are_registered_in_time",
        "No asset is registering for longer than ten minutes.",
        "SELECT id, job_id, attempts FROM assets"
        " WHERE state = 'registering' AND created_at < now() - interval '10 minutes'",
    ),
    Invariant(
        "registering_assets_are_due",
        "An asset is due work exactly while it is registering.",
        "SELECT id, state, due_at FROM assets WHERE (state = 'registering') <> (due_at IS NOT NULL)",
    ),
    Invariant(
        "stored_assets_are_measured",
        "A stored asset has a size and a SHA-256.",
        "SELECT id FROM assets WHERE state = 'stored' AND (size <= 0 OR sha256 !~ '^[0-9a-f]{64}$')",
    ),
    Invariant(
        "generated_assets_have_a_job",
        "Every asset that was not uploaded belongs to an item of a job.",
        "SELECT id FROM assets WHERE source <> 'uploaded' AND (job_id IS NULL OR item IS NULL)",
    ),
    Invariant(
        "derivatives_have_a_key",
        "A derivative that is done has an object key, and only such a one.",
        "SELECT id FROM derivatives WHERE (state = 'done') <> (object_key IS NOT NULL)",
    ),
    Invariant(
        "derivatives_are_made_in_time",
        "No derivative is in the making for longer than an hour.",
        "SELECT id, attempts FROM derivatives WHERE state = 'making' AND created_at < now() - interval '1 hour'",
    ),
    Invariant(
        "derivatives_are_of_stored_assets",
        "Only a stored asset has derivatives.",
        "SELECT d.id FROM derivatives d JOIN assets a ON a.id = d.asset_id WHERE a.state <> 'stored'",
    ),
)
