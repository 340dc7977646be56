-- Events and tasks that could not be processed, with the reason. The id is derived from the message,
-- so that a redelivery adds nothing. The body is kept byte for byte: it may not even be text.
CREATE TABLE dead_letters (
    id uuid PRIMARY KEY,
    source text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    body bytea NOT NULL,
    headers jsonb NOT NULL,
    event_id uuid,
    ad_id bigint,
    occurred_at timestamptz,
    first_seen timestamptz NOT NULL DEFAULT now(),
    requeued_at timestamptz,
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'requeued', 'discarded'))
);
CREATE INDEX dead_letters_by_state ON dead_letters (state, first_seen, id);
CREATE INDEX dead_letters_by_event ON dead_letters (event_id) WHERE event_id IS NOT NULL;
