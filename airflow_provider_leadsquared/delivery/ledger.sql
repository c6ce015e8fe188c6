-- The statements of the SQL ledger. ANSI SQL; {table} is the ledger table's name, ? stands for a parameter, and
-- {rows} for as many parameters, or lists of them, as there are rows.

-- name: create_entries
CREATE TABLE {table} (
    scope CHAR(32) NOT NULL,
    entry_id CHAR(32) NOT NULL,
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

-- name: select_marks
SELECT name, mark FROM {table}_marks WHERE scope = ?

-- name: delete_mark
DELETE FROM {table}_marks WHERE scope = ? AND name = ?

-- name: insert_mark
INSERT INTO {table}_marks (scope, name, mark) VALUES (?, ?, ?)

-- name: confirm_holder
UPDATE {table}_marks SET mark = ? WHERE scope = ? AND name = 'holder' AND mark = ?

-- name: select_entries
SELECT row_no, state, owner_key, fingerprint, copy_no, request_id, accepted_at, settled_at, lead_id, reason_class, reason
FROM {table}
WHERE scope = ?

-- name: delete_entries
DELETE FROM {table} WHERE scope = ? AND entry_id IN ({rows})

-- name: insert_entries
INSERT INTO {table} (
    scope, entry_id, dag_id, run_id, task_id, map_index, generation,
    row_no, state, owner_key, fingerprint, copy_no, request_id, accepted_at, settled_at, lead_id, reason_class, reason,
    written_at
) VALUES {rows}
