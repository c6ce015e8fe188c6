"""Cut the power at every durable edge of tasks whose ledger is in SQLite."""
