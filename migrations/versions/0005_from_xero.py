"""What comes from Xero by itself: sweeps, overdue, arrivals, troubles told once

Revision: 0005, after 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _added() -> dict[str, tuple[sa.Column, ...]]:
    return {
        "portal": (sa.Column("told_problem", sa.String(length=64), nullable=True), sa.Column("looked_at", sa.DateTime(), nullable=True)),
        "organisation": (
            sa.Column("heard_at", sa.DateTime(), nullable=True),
            sa.Column("unheard", sa.Integer(), nullable=False, server_default="0"),
            sa.Column("overdue_until", sa.Date(), nullable=True),
        ),
        "connection": (sa.Column("told_problem", sa.String(length=64), nullable=True),),
        "directory_entry": (sa.Column("appeared_at", sa.DateTime(), nullable=True),),
        "watermark": (sa.Column("due_at", sa.DateTime(), nullable=True),),
        "link": (sa.Column("online_url", sa.String(length=255), nullable=False, server_default=""),),
    }


def upgrade() -> None:
    for table, columns in _added().items():
        for column in columns:
            op.add_column(table, column)
    op.create_table(
        "arrival",
        sa.Column("id", _ID, nullable=False),
        sa.Column("portal_id", _ID, nullable=False),
        sa.Column("organisation_id", _ID, nullable=False),
        sa.Column("xero_kind", sa.String(length=12), nullable=False),
        sa.Column("xero_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("crm_kind", sa.String(length=12), nullable=False),
        sa.Column("crm_id", sa.Integer(), nullable=True),
        sa.Column("problem_code", sa.String(length=64), nullable=True),
        sa.Column("problem_params", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name=op.f("fk_arrival_organisation_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_arrival_portal_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrival")),
        sa.UniqueConstraint("portal_id", "organisation_id", "xero_kind", "xero_id", name=op.f("uq_arrival_portal_id_organisation_id_xero_kind_xero_id")),
    )


def downgrade() -> None:
    op.drop_table("arrival")
    for table, columns in reversed(list(_added().items())):
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column.name)
