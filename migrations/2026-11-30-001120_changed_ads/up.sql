-- Which transaction wrote an ad last, so that who keeps a copy reads what changed and not all of it. The
-- number of a transaction that was not over at a snapshot is never below that snapshot's xmin: so whoever
-- reads again from that xmin on misses none that committed since, in whatever order they did.
ALTER TABLE ads ADD COLUMN changed_in bigint NOT NULL DEFAULT 0;
CREATE INDEX ads_by_change ON ads (changed_in);

-- A trigger, as builds before write ads too.
CREATE FUNCTION adtally_ad_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_in := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION adtally_ad_changed() FROM PUBLIC;
CREATE TRIGGER ads_changed BEFORE INSERT OR UPDATE ON ads
    FOR EACH ROW EXECUTE FUNCTION adtally_ad_changed();
