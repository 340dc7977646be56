ALTER TABLE dirty_days DROP COLUMN marked_at;
ALTER TABLE dirty_hours DROP COLUMN marked_at;
