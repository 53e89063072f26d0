"""the call log, heartbeats, self-tests, and the search of the activity

Revision: 0007, after 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "exchange",
        sa.Column("id", _ID, nullable=False),
        sa.Column("portal_id", _ID, nullable=True),
        sa.Column("organisation_id", _ID, nullable=True),
        sa.Column("partner", sa.String(length=8), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("verb", sa.String(length=8), nullable=False),
        sa.Column("path", sa.String(length=500), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("waited", sa.Double(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("partner_id", sa.String(length=128), nullable=False),
        sa.Column("problem", sa.String(length=120), nullable=False),
        sa.Column("documents", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_exchange_portal_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name=op.f("fk_exchange_organisation_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchange")),
    )
    op.create_index("ix_exchange_portal", "exchange", ["portal_id", "id"])
    op.create_index("ix_exchange_organisation", "exchange", ["organisation_id", "id"])
    op.create_index("ix_exchange_at", "exchange", ["at"])
    op.create_table(
        "heartbeat",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeat")),
    )
    op.create_table(
        "self_test",
        sa.Column("id", _ID, nullable=False),
        sa.Column("portal_id", _ID, nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("user_name", sa.String(length=255), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("faults", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_self_test_portal_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_self_test")),
    )
    op.create_index("ix_self_test_portal", "self_test", ["portal_id", "id"])
    op.add_column("activity", sa.Column("search", sa.Text(), server_default="", nullable=False))
    op.create_index("ix_activity_at", "activity", ["portal_id", "at"])
    failed = sa.text("problem_code IS NOT NULL")
    op.create_index("ix_job_subject", "job", ["portal_id", "subject"])
    op.create_index("ix_job_failed", "job", ["portal_id", "id"], sqlite_where=failed, postgresql_where=failed)
    op.create_index("ix_callback_portal", "callback", ["portal_id", "id"])
    op.create_index("ix_callback_organisation", "callback", ["organisation_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_callback_organisation", "callback")
    op.drop_index("ix_callback_portal", "callback")
    op.drop_index("ix_job_failed", "job")
    op.drop_index("ix_job_subject", "job")
    op.drop_index("ix_activity_at", "activity")
    op.drop_column("activity", "search")
    op.drop_index("ix_self_test_portal", "self_test")
    op.drop_table("self_test")
    op.drop_table("heartbeat")
    op.drop_index("ix_exchange_at", "exchange")
    op.drop_index("ix_exchange_organisation", "exchange")
    op.drop_index("ix_exchange_portal", "exchange")
    op.drop_table("exchange")
