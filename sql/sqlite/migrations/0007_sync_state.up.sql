-- What a copy knows of the rows that it has brought, until it is done: packed records, written in the transaction of the
-- rows themselves, so that neither is ever there without the other. chain is the job that began the copy.
CREATE TABLE sync_state (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    chain   TEXT NOT NULL REFERENCES delegations (delegation_id) ON DELETE CASCADE,
    records BLOB NOT NULL
);
CREATE INDEX idx_sync_state_chain ON sync_state (chain, id);
