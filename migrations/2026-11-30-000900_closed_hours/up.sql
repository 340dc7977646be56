-- Hours whose raw events are gone, in whole or in part, without settings.raw_from having passed them:
-- a partition was dropped by hand, or rows were deleted. Their totals stand, and their late events
-- become dead letters. A roll-up that finds all events again takes the hour out.
CREATE TABLE closed_hours (
    hour timestamptz PRIMARY KEY,
    reason text NOT NULL CHECK (reason IN ('partition_missing', 'events_missing')),
    closed_at timestamptz NOT NULL DEFAULT now()
);

-- Makes the partition of one UTC day and says whether it exists afterwards. None is made
--
-- - of a day that ended before settings.raw_from: its hours are closed for good;
-- - of a day more than a month ahead, by the clock of the server;
-- - where a table of its name stands beside events: it was detached, and holds the day's events.
--
-- Where totals say that the day had events, its partition is gone. The new one is for the hours
-- without totals; those with totals are closed.
--
-- CREATE TABLE .. PARTITION OF locks the parent against readers and writers. Attaching a finished
-- table does not, and the CHECK constraint spares it the scan.
CREATE OR REPLACE FUNCTION adtally_ensure_partition(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET lock_timeout = '2s'
AS $$
DECLARE
    partition text := 'events_' || to_char(day, 'YYYYMMDD');
    low uuid;
    high uuid;
    raw_from timestamptz;
BEGIN
    IF day IS NULL OR day < date '1970-01-01' OR day > date '9999-12-31' THEN
        RAISE EXCEPTION 'no event can happen on %', day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF day > (now() AT TIME ZONE 'UTC')::date + 31 THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE inhparent = 'events'::regclass AND relname = partition
                 AND NOT inhdetachpending) THEN
        RETURN true;
    END IF;

    PERFORM pg_advisory_xact_lock(hashtext('adtally_ensure_partition'));
    -- By the catalogue's rows: a cached lookup by name may still miss what was made meanwhile.
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE inhparent = 'events'::regclass AND relname = partition
                 AND NOT inhdetachpending) THEN
        RETURN true;
    END IF;
    SELECT value::timestamptz INTO raw_from FROM settings WHERE key = 'raw_from';
    IF (day + 1)::timestamp AT TIME ZONE 'UTC' <= raw_from THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM pg_class
               WHERE relname = partition AND relnamespace = (SELECT relnamespace FROM pg_class
                                                             WHERE oid = 'events'::regclass)) THEN
        RETURN false;
    END IF;

    -- Hours that are over and wholly within the day. An hour at its edge may have all its events in
    -- the neighbour; its roll-up counts them.
    INSERT INTO closed_hours (hour, reason)
    SELECT DISTINCT hour, 'partition_missing' FROM ad_hourly_stats
    WHERE hour >= day::timestamp AT TIME ZONE 'UTC'
      AND hour <= (day + 1)::timestamp AT TIME ZONE 'UTC' - interval '1 hour'
      AND hour <= now() - interval '1 hour'
      AND hour >= coalesce(raw_from, '-infinity')
      AND impressions + clicks > 0
    ON CONFLICT DO NOTHING;

    low := adtally_day_floor(day);
    high := adtally_day_floor(day + 1);
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING ALL, CONSTRAINT partition_bounds '
                   'CHECK (event_id >= %L::uuid AND event_id < %L::uuid))', partition, low, high);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   partition, low, high);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT partition_bounds', partition);
    RETURN true;
END
$$;

-- It runs with its owner's rights, so it looks only at the schema it was made in.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION adtally_ensure_partition(date) SET search_path = %I, pg_temp',
                   current_schema());
END
$$;

-- Whoever may connect could run these, and make partitions by the thousand. Their owner still can;
-- a role of a worker that is not the owner needs EXECUTE on the first and the last.
REVOKE ALL ON FUNCTION adtally_ensure_partition(date) FROM PUBLIC;
REVOKE ALL ON FUNCTION adtally_day_floor(date) FROM PUBLIC;
REVOKE ALL ON FUNCTION adtally_refused_events(uuid[], bigint[], smallint[], timestamptz[], uuid[],
                                              inet[], bytea[], bytea[], bytea[], bytea[], bytea[])
    FROM PUBLIC;
