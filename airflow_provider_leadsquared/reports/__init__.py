"""What people ask of a ledger: runs, counts, rejects, open requests, one row key's history, facts about the tables."""
