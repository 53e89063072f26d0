"""why a consent ended, in Xero's words

Revision: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("consent", sa.Column("problem_params", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("consent", "problem_params")
