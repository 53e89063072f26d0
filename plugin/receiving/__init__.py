"""What comes from Xero by itself: what a sweep finds, what time alone changes, what was made in Xero and shall appear in Bitrix24."""
