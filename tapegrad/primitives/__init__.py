"""What the tape records: primitives, their rules, and the entries that a call of one writes."""
