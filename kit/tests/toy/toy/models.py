"""Counts per thing, the calls of handlers in order, jars with their lids, and leased chores."""

from sqlalchemy import Boolean, CheckConstraint, Column, Identity, Integer, MetaData, Table, Text

from kit.leases import lease_columns, lease_index

metadata = MetaData()

counts = Table(
    "counts",
    metadata,
    Column("thing", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    CheckConstraint("count < 1000", name="counts_below_thousand"),
)

calls = Table(
    "calls",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("type", Text, nullable=False),
    Column("things", Text, nullable=False),
)

jars = Table(
    "jars",
    metadata,
    Column("jar", Text, primary_key=True),
    Column("filled", Boolean, nullable=False, server_default="false"),
    Column("lidded", Boolean, nullable=False, server_default="false"),
)

chores = Table(
    "chores",
    metadata,
    Column("id", Text, primary_key=True),
    Column("done_by", Text, nullable=True),
    *lease_columns(),
    lease_index("chores"),
)
