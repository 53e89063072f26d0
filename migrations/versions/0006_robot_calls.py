"""calls of automation rules; the trigger of a paid document

Revision: 0006, after 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "robot_call",
        sa.Column("id", ID, nullable=False),
        sa.Column("portal_id", ID, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("event_token", sa.LargeBinary(), nullable=True),
        sa.Column("crm_kind", sa.String(length=12), nullable=False),
        sa.Column("crm_id", sa.Integer(), nullable=False),
        sa.Column("job_id", ID, nullable=True),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("problem_code", sa.String(length=64), nullable=True),
        sa.Column("problem_params", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.Column("answered_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["portal_id"], ["portal.id"], name=op.f("fk_robot_call_portal_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robot_call")),
        sa.UniqueConstraint("portal_id", "token_hash", name=op.f("uq_robot_call_portal_id_token_hash")),
    )
    op.create_index("ix_robot_call_job", "robot_call", ["job_id"])
    with op.batch_alter_table("link") as batch_op:
        batch_op.add_column(sa.Column("paid_trigger", sa.String(length=4), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("link") as batch_op:
        batch_op.drop_column("paid_trigger")
    op.drop_index("ix_robot_call_job", table_name="robot_call")
    op.drop_table("robot_call")
