"""An invoice knows its quote, and when a document was settled last: whichever comes into Xero first finds the other; what failed before is over

Revision: 0011, after 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link", sa.Column("made_from", sa.Integer(), nullable=True))
    op.add_column("link", sa.Column("settled_at", sa.DateTime(), nullable=True))
    op.create_index("ix_link_made_from", "link", ["portal_id", "made_from"])


def downgrade() -> None:
    op.drop_index("ix_link_made_from", "link")
    with op.batch_alter_table("link") as table:
        table.drop_column("settled_at")
        table.drop_column("made_from")
