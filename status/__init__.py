"""How far long commands are, read from what they have left on disk."""
