"""The tables of the first version, on PostgreSQL. SQLite files of that version were made without migrations."""

from alembic import op

revision = "0001"
down_revision = None

# Text is compared by its bytes (COLLATE "C"): an index does not depend on the locales of the machine it moves to.
_TABLES = """
CREATE TABLE leaf (idx bigint PRIMARY KEY, entry bytea NOT NULL, hash bytea NOT NULL);
CREATE TABLE payload (
    idx bigint PRIMARY KEY, salt bytea NOT NULL, event bytea NOT NULL, private bytea NOT NULL
);
CREATE TABLE tile (level bigint, idx bigint, hash bytea NOT NULL, PRIMARY KEY (level, idx));
CREATE TABLE head (
    id bigint PRIMARY KEY CHECK (id = 1), size bigint NOT NULL, root bytea NOT NULL, time_ms bigint NOT NULL,
    checkpoint text NOT NULL, public_sequence bigint NOT NULL
);
CREATE TABLE public_event (idx bigint PRIMARY KEY);
CREATE TABLE subject (
    id bytea PRIMARY KEY, seq bigint NOT NULL, last bytea NOT NULL, state bytea NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE subject_entry (subject bytea, idx bigint, PRIMARY KEY (subject, idx));
CREATE TABLE batch (
    header_hash bytea PRIMARY KEY, sender text COLLATE "C" NOT NULL, batch_id bytea NOT NULL,
    recipient text COLLATE "C" NOT NULL, purpose text COLLATE "C" NOT NULL, request_hash bytea NOT NULL,
    header bytea NOT NULL, root bytea NOT NULL, response bytea NOT NULL, expires_ms bigint NOT NULL,
    UNIQUE (sender, batch_id)
);
CREATE INDEX ix_batch_expires_ms ON batch (expires_ms);
CREATE TABLE permit (
    header_hash bytea, position bigint, decided_idx bigint NOT NULL, opening bytea, subject bytea NOT NULL,
    released_idx bigint, withheld_idx bigint, acknowledged_idx bigint, PRIMARY KEY (header_hash, position)
);
CREATE TABLE pull_nonce (
    header_hash bytea REFERENCES batch (header_hash), nonce bytea, request_hash bytea NOT NULL,
    response bytea NOT NULL, expires_ms bigint NOT NULL, PRIMARY KEY (header_hash, nonce)
);
CREATE INDEX ix_pull_nonce_expires_ms ON pull_nonce (expires_ms);
CREATE TABLE change (change_id bytea PRIMARY KEY, request_hash bytea NOT NULL, result bytea NOT NULL);
"""

# A seat-belt below the privileges: it holds for the owner too.
_TRIGGERS = """
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;
CREATE TRIGGER leaf_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON leaf EXECUTE FUNCTION append_only();
CREATE TRIGGER tile_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tile EXECUTE FUNCTION append_only();
CREATE TRIGGER public_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public_event
    EXECUTE FUNCTION append_only();
CREATE TRIGGER payload_no_update BEFORE UPDATE OR TRUNCATE ON payload EXECUTE FUNCTION append_only();
CREATE TRIGGER head_no_delete BEFORE DELETE OR TRUNCATE ON head EXECUTE FUNCTION append_only();
CREATE FUNCTION head_only_forward() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the head of the log only moves forward'; END $$;
CREATE TRIGGER head_only_forward BEFORE UPDATE ON head FOR EACH ROW
    WHEN (NEW.size < OLD.size OR NEW.time_ms < OLD.time_ms OR (NEW.size = OLD.size AND NEW.root <> OLD.root))
    EXECUTE FUNCTION head_only_forward();
"""


def upgrade() -> None:
    """Make every table, and what keeps the log append-only (I6: never smaller, never earlier, never two roots)."""
    op.execute(_TABLES)
    op.execute(_TRIGGERS)
