-- What the events of a mark add to the totals of its hour, so that the hour need not be counted anew. NULL
-- where nobody said it, as builds before do not: then the hour is counted.
ALTER TABLE dirty_hours ADD COLUMN added bytea;

-- It is packed already; to compress it would cost the transaction that stores events.
ALTER TABLE dirty_hours ALTER COLUMN added SET STORAGE EXTERNAL;
