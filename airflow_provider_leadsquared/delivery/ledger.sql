-- The statements of the SQL ledgers. ANSI SQL; {table} is the ledger table's name, ? stands for a parameter, and
-- {rows} for as many parameters, or lists of them, as there are rows. Those called create_… run once.

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
    owner_key VARCHAR(250),
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
    written_at TIMESTAMP NOT NULL,
    PRIMARY KEY (scope, entry_id)
)

-- name: create_marks
CREATE TABLE {table}_marks (
    scope CHAR(32) NOT NULL,
    name VARCHAR(50) NOT NULL,
    mark VARCHAR(1000) NOT NULL,
    PRIMARY KEY (scope, name)
)

-- name: create_leads
CREATE TABLE {table}_leads (
    sync_id CHAR(32) NOT NULL,
    key_id CHAR(32) NOT NULL,
    owner_key VARCHAR(250) NOT NULL,
    confirmed_before VARCHAR(40),
    last_scope CHAR(32) NOT NULL,
    last_entry CHAR(32) NOT NULL,
    PRIMARY KEY (sync_id, key_id)
)

-- name: create_last
CREATE VIEW {table}_last AS
SELECT
    e.sync_id, e.owner_key, e.state, e.reason_class, e.reason, e.request_id, e.lead_id, e.attempts,
    e.accepted_at, e.settled_at, e.dag_id, e.run_id, e.task_id, e.map_index
FROM {table}_leads l
JOIN {table} e ON e.scope = l.last_scope AND e.entry_id = l.last_entry

-- name: create_rejects
CREATE VIEW {table}_rejects AS
SELECT
    dag_id, run_id, task_id, map_index, row_no + 1 AS row_in_run, owner_key, state, reason_class, reason, request_id,
    written_at
FROM {table}
WHERE state IN ('invalid', 'in_doubt', 'rejected', 'failed')

-- name: select_marks
SELECT name, mark FROM {table}_marks WHERE scope = ?

-- name: delete_mark
DELETE FROM {table}_marks WHERE scope = ? AND name = ?

-- name: insert_mark
INSERT INTO {table}_marks (scope, name, mark) VALUES (?, ?, ?)

-- name: confirm_holder
UPDATE {table}_marks SET mark = ? WHERE scope = ? AND name = 'holder' AND mark = ?

-- name: select_entries
SELECT
    row_no, state, owner_key, fingerprint, copy_no, request_id, accepted_at, settled_at, lead_id, reason_class, reason,
    attempts, doubted_at
FROM {table}
WHERE scope = ?

-- name: delete_entries
DELETE FROM {table} WHERE scope = ? AND entry_id IN ({rows})

-- name: insert_entries
INSERT INTO {table} (
    scope, entry_id, sync_id, dag_id, run_id, task_id, map_index, generation,
    row_no, state, owner_key, fingerprint, copy_no, request_id, accepted_at, settled_at, lead_id, reason_class, reason,
    attempts, doubted_at, written_at
) VALUES {rows}

-- name: delete_not_sent
DELETE FROM {table} WHERE scope = ? AND state IN ('invalid', 'superseded', 'waiting')

-- name: settle_entry
UPDATE {table}
SET state = ?, settled_at = ?, lead_id = ?, reason_class = ?, reason = ?, written_at = ?
WHERE scope = ? AND entry_id = ? AND state = 'open'

-- name: select_memory
SELECT
    l.owner_key, l.confirmed_before, l.last_scope,
    e.row_no, e.state, e.owner_key, e.fingerprint, e.copy_no, e.request_id, e.accepted_at, e.settled_at, e.lead_id,
    e.reason_class, e.reason, e.attempts, e.doubted_at, e.written_at
FROM {table}_leads l
LEFT JOIN {table} e ON e.scope = l.last_scope AND e.entry_id = l.last_entry
WHERE l.sync_id = ? AND l.key_id IN ({rows})

-- name: delete_leads
DELETE FROM {table}_leads WHERE sync_id = ? AND key_id IN ({rows})

-- name: insert_leads
INSERT INTO {table}_leads (sync_id, key_id, owner_key, confirmed_before, last_scope, last_entry) VALUES {rows}

-- name: select_open
SELECT
    e.row_no, e.state, e.owner_key, e.fingerprint, e.copy_no, e.request_id, e.accepted_at, e.settled_at, e.lead_id,
    e.reason_class, e.reason, e.attempts, e.doubted_at, e.scope, e.dag_id, e.run_id, e.task_id
FROM {table}_leads l
JOIN {table} e ON e.scope = l.last_scope AND e.entry_id = l.last_entry
WHERE l.sync_id = ? AND e.state = 'open'

-- name: count_judged
SELECT state, reason_class, COUNT(*)
FROM {table}
WHERE request_id IS NOT NULL AND scope IN ({rows})
GROUP BY state, reason_class

-- name: select_refused
SELECT
    row_no, state, owner_key, fingerprint, copy_no, request_id, accepted_at, settled_at, lead_id, reason_class, reason,
    attempts, doubted_at
FROM {table}
WHERE state IN ('rejected', 'failed') AND request_id IS NOT NULL AND scope IN ({rows})
ORDER BY row_no
