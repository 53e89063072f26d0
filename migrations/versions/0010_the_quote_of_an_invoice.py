"""The quote that an invoice was made from: whichever of both comes into Xero first, the other finds it

Revision: 0010, after 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link", sa.Column("made_from", sa.Integer(), nullable=True))
    op.create_index("ix_link_made_from", "link", ["portal_id", "made_from"])


def downgrade() -> None:
    op.drop_index("ix_link_made_from", "link")
    with op.batch_alter_table("link") as table:
        table.drop_column("made_from")
