"""What every turn of a conductor asks is found without a look at everything: who is connected to an organisation, which kinds of document it has

Revision: 0012, after 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_LIVE = sa.text("ended_at IS NULL")


def upgrade() -> None:
    op.create_index("ix_connection_organisation", "connection", ["organisation_id"])
    op.create_index("ix_link_kind", "link", ["organisation_id", "xero_kind"], sqlite_where=_LIVE, postgresql_where=_LIVE)


def downgrade() -> None:
    op.drop_index("ix_link_kind", "link")
    op.drop_index("ix_connection_organisation", "connection")
