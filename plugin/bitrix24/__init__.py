"""Everything that knows Bitrix24's words. Nobody outside this folder spells a method, a field or an error code of Bitrix24."""
