"""A small site that calls Certn: what yours would have, and nothing for the demo's sake."""
