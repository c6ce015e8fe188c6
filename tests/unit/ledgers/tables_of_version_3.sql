-- What version 3 of the ledger tables was created with. {table} is the ledger table's name.

-- name: create_entries
CREATE TABLE {table} (
    scope CHAR(32) NOT NULL,
    entry_id CHAR(32) NOT NULL,
    sync_id CHAR(32),
    dag_id VARCHAR(250) NOT NULL,
    run_id VARCHAR(250) NOT NULL,
    task_id VARCHAR(250) NOT NULL,
    map_index INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    row_no INTEGER NOT NULL,
    state VARCHAR(20) NOT NULL,
    row_key VARCHAR(250),
    fingerprint VARCHAR(40) NOT NULL,
    copy_no INTEGER NOT NULL,
    request_id VARCHAR(100),
    accepted_at TIMESTAMP,
    settled_at TIMESTAMP,
    lead_id VARCHAR(100),
    reason_class VARCHAR(250),
    reason VARCHAR(1000),
    attempts INTEGER NOT NULL,
    doubted_at TIMESTAMP,
    api VARCHAR(50) NOT NULL,
    written_at TIMESTAMP NOT NULL,
    PRIMARY KEY (scope, entry_id)
)

-- name: create_metadata
CREATE TABLE {table}_metadata (
    scope CHAR(32) NOT NULL,
    name VARCHAR(50) NOT NULL,
    content VARCHAR(1000) NOT NULL,
    PRIMARY KEY (scope, name)
)

-- name: create_leads
CREATE TABLE {table}_leads (
    sync_id CHAR(32) NOT NULL,
    key_id CHAR(32) NOT NULL,
    row_key VARCHAR(250) NOT NULL,
    confirmed_before VARCHAR(40),
    last_scope CHAR(32) NOT NULL,
    last_entry CHAR(32) NOT NULL,
    PRIMARY KEY (sync_id, key_id)
)

-- name: create_last
CREATE VIEW {table}_last AS
SELECT
    e.sync_id, e.row_key, e.api, e.state, e.reason_class, e.reason, e.request_id, e.lead_id, e.attempts,
    e.accepted_at, e.settled_at, e.dag_id, e.run_id, e.task_id, e.map_index
FROM {table}_leads l
JOIN {table} e ON e.scope = l.last_scope AND e.entry_id = l.last_entry

-- name: create_rejects
CREATE VIEW {table}_rejects AS
SELECT
    dag_id, run_id, task_id, map_index, row_no + 1 AS row_in_run, row_key, state, reason_class, reason, request_id,
    written_at
FROM {table}
WHERE state IN ('invalid', 'in_doubt', 'rejected', 'failed')

