-- Makes the partition of one UTC day and says whether it exists afterwards. A day that ended before
-- settings.raw_from gets none: its hours are closed for good.
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
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE inhparent = 'events'::regclass AND relname = partition) THEN
        RETURN true;
    END IF;

    PERFORM pg_advisory_xact_lock(hashtext('adtally_ensure_partition'));
    -- By the catalogue's rows: a cached lookup by name may still miss what was made meanwhile.
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE inhparent = 'events'::regclass AND relname = partition) THEN
        RETURN true;
    END IF;
    SELECT value::timestamptz INTO raw_from FROM settings WHERE key = 'raw_from';
    IF (day + 1)::timestamp AT TIME ZONE 'UTC' <= raw_from THEN
        RETURN false;
    END IF;

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

GRANT EXECUTE ON FUNCTION adtally_ensure_partition(date) TO PUBLIC;
GRANT EXECUTE ON FUNCTION adtally_day_floor(date) TO PUBLIC;
GRANT EXECUTE ON FUNCTION adtally_refused_events(uuid[], bigint[], smallint[], timestamptz[], uuid[],
                                                 inet[], bytea[], bytea[], bytea[], bytea[], bytea[])
    TO PUBLIC;

DROP TABLE closed_hours;
