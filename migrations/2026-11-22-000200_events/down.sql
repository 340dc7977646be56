DROP FUNCTION adtally_refused_events(uuid[], bigint[], smallint[], timestamptz[], uuid[], inet[],
                                     bytea[], bytea[], bytea[], bytea[], bytea[]);
DROP FUNCTION adtally_ensure_partition(date);
DROP FUNCTION adtally_day_floor(date);
DROP TABLE events;
