"""What a document is and what the rules are. Standard library only, no clock, no network, no database."""
