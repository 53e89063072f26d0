"""The CRM's face: pages for people, and the host side of the frame (B§7)."""

from sandbox.bitrix24.face.pages import blueprint

__all__ = ["blueprint"]
