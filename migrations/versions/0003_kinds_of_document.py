"""documents other than invoices: batches know their kind, and a link is unique at Xero for all of them

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The default stays, for the version before this one goes on writing rows while it still serves.
    op.add_column("batch", sa.Column("crm_kind", sa.String(length=12), nullable=False, server_default="invoice"))
    op.add_column("batch_document", sa.Column("crm_kind", sa.String(length=12), nullable=False, server_default="invoice"))
    op.drop_index("ix_batch_document_crm", "batch_document")
    op.create_index("ix_batch_document_crm", "batch_document", ["portal_id", "crm_kind", "crm_id"])
    _document_index("xero_kind <> 'contact'")


def downgrade() -> None:
    _document_index("xero_kind = 'invoice'")
    op.drop_index("ix_batch_document_crm", "batch_document")
    op.create_index("ix_batch_document_crm", "batch_document", ["portal_id", "crm_id"])
    op.drop_column("batch_document", "crm_kind")
    op.drop_column("batch", "crm_kind")


def _document_index(condition: str) -> None:
    where = sa.text(f"ended_at IS NULL AND {condition}")
    op.drop_index("uq_link_document", "link")
    columns = ["portal_id", "organisation_id", "xero_kind", "xero_id"]
    op.create_index("uq_link_document", "link", columns, unique=True, sqlite_where=where, postgresql_where=where)
