-- Which of the given events the table refuses because of what is in them, and why. Tries each alone;
-- the caller rolls back. Texts come as bytes, so that one the database cannot read is told apart too.
--
-- The exception classes are the point: classes 22 and 23 are the event's own fault, and everything
-- else (disk full, out of memory, shutting down) passes through as an error of this function.
CREATE OR REPLACE FUNCTION adtally_refused_events(
    event_ids uuid[], ad_ids bigint[], kinds smallint[], received timestamptz[],
    impression_ids uuid[], ips inet[], visitor_ids bytea[], user_agents bytea[],
    referers bytea[], placements bytea[], sources bytea[]
) RETURNS TABLE (event_id uuid, code text, detail text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    e record;
    day date;
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
            GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = MESSAGE_TEXT;
            -- A row without a partition violates a check too, for no fault of its own. The catalogue
            -- tells: not everything between us and the table passes on which constraint it was.
            day := timestamp 'epoch' + interval '1 ms'
                * ('x' || translate(left(e.id::text, 13), '-', ''))::bit(48)::bigint;
            IF EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                       WHERE inhparent = 'events'::regclass AND NOT inhdetachpending
                         AND relname = 'events_' || to_char(day, 'YYYYMMDD')) THEN
                event_id := e.id;
                RETURN NEXT;
            END IF;
        END;
    END LOOP;
END
$$;
