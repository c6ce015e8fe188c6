-- The statements of the SQL ledgers. ANSI SQL; {table} is the ledger table's name, ? stands for a parameter, {rows} for
-- as many parameters, or lists of them, as there are rows, and {rejects}, {not_sent}, {refused} and {open} for the names of
-- states. Those called create_… run once.

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
WHERE state IN ({rejects})

-- The version of tables that were written before version 3.
-- name: select_old_version
SELECT mark FROM {table}_marks WHERE scope = 'tables' AND name = 'version'

-- name: select_metadata
SELECT name, content FROM {table}_metadata WHERE scope = ?

-- name: delete_metadata
DELETE FROM {table}_metadata WHERE scope = ? AND name = ?

-- name: insert_metadata
INSERT INTO {table}_metadata (scope, name, content) VALUES (?, ?, ?)

-- name: confirm_holder
UPDATE {table}_metadata SET content = ? WHERE scope = ? AND name = 'holder' AND content = ?

-- name: select_entries
SELECT
    row_no, state, row_key, fingerprint, copy_no, request_id, accepted_at, settled_at, lead_id, reason_class, reason,
    attempts, doubted_at, api
FROM {table}
WHERE scope = ?

-- name: delete_entries
DELETE FROM {table} WHERE scope = ? AND entry_id IN ({rows})

-- name: insert_entries
INSERT INTO {table} (
    scope, entry_id, sync_id, dag_id, run_id, task_id, map_index, generation,
    row_no, state, row_key, fingerprint, copy_no, request_id, accepted_at, settled_at, lead_id, reason_class, reason,
    attempts, doubted_at, api, written_at
) VALUES {rows}

-- name: delete_not_sent
DELETE FROM {table} WHERE scope = ? AND state IN ({not_sent})

-- name: settle_entry
UPDATE {table}
SET state = ?, settled_at = ?, lead_id = ?, reason_class = ?, reason = ?, written_at = ?
WHERE scope = ? AND entry_id = ? AND state IN ({open})

-- name: select_memory
SELECT
    l.row_key, l.confirmed_before, l.last_scope,
    e.row_no, e.state, e.row_key, e.fingerprint, e.copy_no, e.request_id, e.accepted_at, e.settled_at, e.lead_id,
    e.reason_class, e.reason, e.attempts, e.doubted_at, e.api, e.written_at
FROM {table}_leads l
LEFT JOIN {table} e ON e.scope = l.last_scope AND e.entry_id = l.last_entry
WHERE l.sync_id = ? AND l.key_id IN ({rows})

-- name: delete_leads
DELETE FROM {table}_leads WHERE sync_id = ? AND key_id IN ({rows})

-- name: insert_leads
INSERT INTO {table}_leads (sync_id, key_id, row_key, confirmed_before, last_scope, last_entry) VALUES {rows}

-- name: select_open
SELECT
    e.row_no, e.state, e.row_key, e.fingerprint, e.copy_no, e.request_id, e.accepted_at, e.settled_at, e.lead_id,
    e.reason_class, e.reason, e.attempts, e.doubted_at, e.api, e.scope, e.dag_id, e.run_id, e.task_id
FROM {table}_leads l
JOIN {table} e ON e.scope = l.last_scope AND e.entry_id = l.last_entry
WHERE l.sync_id = ? AND e.state IN ({open})

-- name: count_judged
SELECT state, reason_class, COUNT(*)
FROM {table}
WHERE request_id IS NOT NULL AND scope IN ({rows})
GROUP BY state, reason_class

-- name: select_refused
SELECT
    row_no, state, row_key, fingerprint, copy_no, request_id, accepted_at, settled_at, lead_id, reason_class, reason,
    attempts, doubted_at, api
FROM {table}
WHERE state IN ({refused}) AND request_id IS NOT NULL AND scope IN ({rows})
ORDER BY row_no
