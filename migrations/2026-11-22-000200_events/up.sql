-- Raw events. The first 48 bits of event_id are the event's time in Unix milliseconds, so this one
-- key deduplicates, prunes to the days of a range, and serves the scan of an hour. A second index
-- would double the cost of an insert.
--
-- There is no default partition: a row in it would make every later ATTACH scan it under a lock.
CREATE TABLE events (
    event_id uuid NOT NULL,
    ad_id bigint NOT NULL,
    kind smallint NOT NULL,
    verdict smallint NOT NULL DEFAULT 0,
    rule_version integer NOT NULL DEFAULT 0,
    received_at timestamptz NOT NULL,
    impression_id uuid,
    ip inet,
    visitor_id text,
    user_agent text,
    referer text,
    placement text,
    source text,
    CONSTRAINT events_pkey PRIMARY KEY (event_id),
    CONSTRAINT events_ad_id_is_positive CHECK (ad_id > 0),
    CONSTRAINT events_kind_is_known CHECK (kind IN (0, 1))
) PARTITION BY RANGE (event_id);

COMMENT ON COLUMN events.kind IS '0 impression, 1 click';

-- Makes the partition of one UTC day and says whether it exists afterwards. A day that ended before
-- settings.raw_from gets none: its hours are closed for good.
--
-- CREATE TABLE .. PARTITION OF locks the parent against readers and writers. Attaching a finished
-- table does not, and the CHECK constraint spares it the scan.
CREATE FUNCTION adtally_ensure_partition(day date) RETURNS boolean
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

-- The smallest id of all events from the first instant of a UTC day on.
CREATE FUNCTION adtally_day_floor(day date) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT (lpad(to_hex((extract(epoch FROM day::timestamp) * 1000)::bigint), 12, '0')
            || repeat('0', 20))::uuid
$$;

-- Which of the given events the table refuses because of what is in them, and why. Tries each alone;
-- the caller rolls back. Texts come as bytes, so that one the database cannot read is told apart too.
--
-- The exception classes are the point: classes 22 and 23 are the event's own fault, and everything
-- else (disk full, out of memory, shutting down) passes through as an error of this function.
CREATE FUNCTION adtally_refused_events(
    event_ids uuid[], ad_ids bigint[], kinds smallint[], received timestamptz[],
    impression_ids uuid[], ips inet[], visitor_ids bytea[], user_agents bytea[],
    referers bytea[], placements bytea[], sources bytea[]
) RETURNS TABLE (event_id uuid, code text, detail text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    e record;
    violated text;
BEGIN
    FOR e IN
        SELECT * FROM unnest(event_ids, ad_ids, kinds, received, impression_ids, ips, visitor_ids,
                             user_agents, referers, placements, sources)
            AS given (id, ad_id, kind, received_at, impression_id, ip, visitor_id,
                      user_agent, referer, placement, source)
    LOOP
        BEGIN
            INSERT INTO events (event_id, ad_id, kind, received_at, impression_id, ip, visitor_id,
                                user_agent, referer, placement, source)
            VALUES (e.id, e.ad_id, e.kind, e.received_at, e.impression_id, e.ip,
                    convert_from(e.visitor_id, 'UTF8'), convert_from(e.user_agent, 'UTF8'),
                    convert_from(e.referer, 'UTF8'), convert_from(e.placement, 'UTF8'),
                    convert_from(e.source, 'UTF8'))
            ON CONFLICT (event_id) DO NOTHING;
        EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
            GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = MESSAGE_TEXT,
                                    violated = CONSTRAINT_NAME;
            -- A row without a partition violates no named constraint: the partition is missing.
            IF code = '23514' AND violated = '' THEN
                RAISE;
            END IF;
            event_id := e.id;
            RETURN NEXT;
        END;
    END LOOP;
END
$$;

-- It runs with its owner's rights, so it looks only at the schema it was made in.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION adtally_ensure_partition(date) SET search_path = %I, pg_temp',
                   current_schema());
END
$$;
