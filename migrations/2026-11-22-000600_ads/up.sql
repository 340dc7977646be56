-- Who advertises, and with what. Ids are chosen by the ad server, or made here when it sends none.
-- Events never refer to these rows: an event of an unknown ad counts all the same.
CREATE TABLE advertisers (
    id bigint PRIMARY KEY CHECK (id > 0),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ads (
    id bigint PRIMARY KEY CHECK (id > 0),
    advertiser_id bigint NOT NULL REFERENCES advertisers (id),
    title text NOT NULL,
    image_url text,
    target_url text,
    approved boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ads_by_advertiser ON ads (advertiser_id);
