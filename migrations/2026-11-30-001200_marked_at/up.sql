-- Since when an hour or day waits for its roll-up: how fresh the totals are is read from its oldest
-- mark. Marks that stand already count from now on.
ALTER TABLE dirty_hours ADD COLUMN marked_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE dirty_days ADD COLUMN marked_at timestamptz NOT NULL DEFAULT now();
