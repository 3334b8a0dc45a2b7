"""How dates and times are written in the officers' rooms."""
