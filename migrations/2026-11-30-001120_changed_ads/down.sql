DROP TRIGGER ads_changed ON ads;
DROP FUNCTION adtally_ad_changed();
ALTER TABLE ads DROP COLUMN changed_in;
