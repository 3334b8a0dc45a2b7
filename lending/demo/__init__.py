"""The demo portfolio: a seeded story of some thousand borrowers, and the writer that puts it into the books."""
