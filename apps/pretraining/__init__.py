"""From a corpus of recordings to the bundle that comes with the toolkit, and to the card that says what it is worth."""
