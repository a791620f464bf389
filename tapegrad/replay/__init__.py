"""The readings of the tape, one file each. A reading knows the tape and the rules, and no other reading."""
