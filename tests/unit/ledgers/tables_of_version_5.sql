-- What version 5 of the ledger tables was created with, without its views. {table} is the ledger table's name.

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
    unknown_since TIMESTAMP,
    asked_at TIMESTAMP,
    attempted_by TIMESTAMP,
    written_at TIMESTAMP NOT NULL,
    PRIMARY KEY (scope, entry_id)
)

-- name: create_counters
CREATE TABLE {table}_counters (
    account_id CHAR(32) NOT NULL,
    no BIGINT NOT NULL,
    PRIMARY KEY (account_id)
)

-- name: create_lines
CREATE TABLE {table}_lines (
    account_id CHAR(32) NOT NULL,
    line_id CHAR(32) NOT NULL,
    kind CHAR(1) NOT NULL,
    no BIGINT NOT NULL,
    dirty BIGINT NOT NULL,
    touched BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    proved BIGINT NOT NULL,
    lead_line CHAR(32),
    sync_id CHAR(32),
    row_key VARCHAR(250),
    last_scope CHAR(32),
    last_entry CHAR(32),
    details TEXT NOT NULL,
    written_at TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, line_id)
)

-- name: create_metadata
CREATE TABLE {table}_metadata (
    scope CHAR(32) NOT NULL,
    name VARCHAR(50) NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (scope, name)
)

-- name: create_unsettled
CREATE TABLE {table}_unsettled (
    sending_id CHAR(32) NOT NULL,
    sync_id CHAR(32) NOT NULL,
    scope CHAR(32) NOT NULL,
    entry_id CHAR(32) NOT NULL,
    row_line CHAR(32) NOT NULL,
    no BIGINT NOT NULL,
    state VARCHAR(20) NOT NULL,
    fingerprint VARCHAR(40) NOT NULL,
    try_id VARCHAR(40) NOT NULL,
    partition_id CHAR(32),
    row_no INTEGER NOT NULL,
    row_key VARCHAR(250),
    api VARCHAR(50) NOT NULL,
    request_id VARCHAR(100),
    intended_at TIMESTAMP NOT NULL,
    accepted_at TIMESTAMP,
    attempts INTEGER NOT NULL,
    reason_class VARCHAR(250),
    reason VARCHAR(1000),
    unknown_since TIMESTAMP,
    asked_at TIMESTAMP,
    attempted_by TIMESTAMP,
    details TEXT NOT NULL,
    PRIMARY KEY (sending_id)
)

