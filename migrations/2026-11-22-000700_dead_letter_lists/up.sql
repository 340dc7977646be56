-- Operators page through dead letters of any state in the order they were found, and through those
-- of one ad.
CREATE INDEX dead_letters_by_time ON dead_letters (first_seen, id);
CREATE INDEX dead_letters_by_ad ON dead_letters (ad_id, first_seen, id) WHERE ad_id IS NOT NULL;
