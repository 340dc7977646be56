-- The totals of each ad per hour, keyed by the hour's first instant in the reporting zone.
CREATE TABLE ad_hourly_stats (
    hour timestamptz NOT NULL,
    ad_id bigint NOT NULL,
    impressions bigint NOT NULL,
    clicks bigint NOT NULL,
    computed_at timestamptz NOT NULL,
    PRIMARY KEY (hour, ad_id)
);

-- The same per local day: each the sum of its own hours.
CREATE TABLE ad_daily_stats (
    day date NOT NULL,
    ad_id bigint NOT NULL,
    impressions bigint NOT NULL,
    clicks bigint NOT NULL,
    computed_at timestamptz NOT NULL,
    PRIMARY KEY (day, ad_id)
);

-- Marks: what was written since the last roll-up of that hour or day. Only ever appended to, and
-- deleted by the roll-up that takes them in, so that writers never wait for each other.
CREATE TABLE dirty_hours (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hour timestamptz NOT NULL
);
CREATE INDEX dirty_hours_by_hour ON dirty_hours (hour);

CREATE TABLE dirty_days (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day date NOT NULL
);
CREATE INDEX dirty_days_by_day ON dirty_days (day);

-- The hours and days that were rolled up after they were over, and when that was first done: from
-- then on a changed total is a restatement.
CREATE TABLE roll_ups (
    granularity text NOT NULL CHECK (granularity IN ('hour', 'day')),
    bucket_start timestamptz NOT NULL,
    rolled_up_at timestamptz NOT NULL,
    PRIMARY KEY (granularity, bucket_start)
);

CREATE TABLE restatements (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    granularity text NOT NULL CHECK (granularity IN ('hour', 'day')),
    bucket_start timestamptz NOT NULL,
    ad_id bigint NOT NULL,
    old_impressions bigint NOT NULL,
    new_impressions bigint NOT NULL,
    old_clicks bigint NOT NULL,
    new_clicks bigint NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX restatements_by_bucket ON restatements (granularity, bucket_start, ad_id);
