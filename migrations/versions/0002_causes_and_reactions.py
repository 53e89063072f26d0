"""causes of orders and activity, and how fast changes arrive

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("job", sa.Column("cause", sa.String(length=12), server_default="", nullable=False))
    op.add_column("job", sa.Column("caused_at", sa.DateTime(), nullable=True))
    op.add_column("activity", sa.Column("cause", sa.String(length=12), server_default="", nullable=False))
    op.create_table(
        "reaction",
        sa.Column("id", _ID, nullable=False),
        sa.Column("portal_id", _ID, nullable=False),
        sa.Column("direction", sa.String(length=4), nullable=False),
        sa.Column("hour", sa.DateTime(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_reaction_portal_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reaction")),
        sa.UniqueConstraint("portal_id", "direction", "hour", "step", name=op.f("uq_reaction_portal_id_direction_hour_step")),
    )


def downgrade() -> None:
    op.drop_table("reaction")
    op.drop_column("activity", "cause")
    op.drop_column("job", "caused_at")
    op.drop_column("job", "cause")
