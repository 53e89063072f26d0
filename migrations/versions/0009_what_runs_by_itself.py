"""what runs by itself: what was seen in the CRM, what waits, and when the app looks again

Revision: 0009, after 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("link", sa.Column("crm_seen", sa.String(length=64), server_default="", nullable=False))
    op.add_column("link", sa.Column("stage_written", sa.String(length=64), server_default="", nullable=False))
    op.add_column("link", sa.Column("crm_gone_at", sa.DateTime(), nullable=True))
    op.create_index("ix_callback_recent", "callback", ["portal_id", "received_at"])
    op.create_table(
        "followed",
        sa.Column("id", _ID, nullable=False),
        sa.Column("portal_id", _ID, nullable=False),
        sa.Column("organisation_id", _ID, nullable=False),
        sa.Column("crm_kind", sa.String(length=12), nullable=False),
        sa.Column("crm_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(length=255), nullable=False),
        sa.Column("seen", sa.String(length=64), nullable=False),
        sa.Column("settings_number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("problem_code", sa.String(length=64), nullable=False),
        sa.Column("problem_params", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name=op.f("fk_followed_organisation_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_followed_portal_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_followed")),
        sa.UniqueConstraint("portal_id", "organisation_id", "crm_kind", "crm_id", name=op.f("uq_followed_portal_id_organisation_id_crm_kind_crm_id")),
    )
    op.create_table(
        "watch",
        sa.Column("portal_id", _ID, nullable=False),
        sa.Column("swept_until", sa.DateTime(), nullable=True),
        sa.Column("swept_at", sa.DateTime(), nullable=True),
        sa.Column("sweep_at", sa.DateTime(), nullable=True),
        sa.Column("checked_at", sa.DateTime(), nullable=True),
        sa.Column("check_at", sa.DateTime(), nullable=True),
        sa.Column("bound_at", sa.DateTime(), nullable=True),
        sa.Column("offline", sa.String(length=8), nullable=False),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_watch_portal_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("portal_id", name=op.f("pk_watch")),
    )


def downgrade() -> None:
    op.drop_table("watch")
    op.drop_table("followed")
    op.drop_index("ix_callback_recent", "callback")
    op.drop_column("link", "crm_gone_at")
    op.drop_column("link", "stage_written")
    op.drop_column("link", "crm_seen")
