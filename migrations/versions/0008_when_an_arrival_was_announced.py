"""When something made in Xero was announced: a portal may still be at work on it for a while after its worker died

Revision: 0008, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("arrival", sa.Column("announced_at", sa.DateTime(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("arrival") as table:
        table.drop_column("announced_at")
