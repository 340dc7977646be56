-- What a deployment decided once: its reporting zone, the instant its raw events begin at.
CREATE TABLE settings (
    key text PRIMARY KEY,
    value text NOT NULL
);
