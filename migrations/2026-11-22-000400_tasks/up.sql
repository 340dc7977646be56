-- Beat's ledger and outbox: one row for each slot of a periodic entry, marked once it is sent.
CREATE TABLE schedule_runs (
    entry text NOT NULL,
    slot timestamptz NOT NULL,
    task_id uuid NOT NULL,
    inserted_at timestamptz NOT NULL DEFAULT now(),
    enqueued_at timestamptz,
    PRIMARY KEY (entry, slot)
);
CREATE INDEX schedule_runs_unsent ON schedule_runs (slot) WHERE enqueued_at IS NULL;

-- What became of each task. A row in state succeeded or discarded is final: the task's id never
-- runs again unless an operator sets it to requeued.
CREATE TABLE task_runs (
    task_id uuid PRIMARY KEY,
    name text NOT NULL,
    arguments jsonb NOT NULL,
    state text NOT NULL
        CHECK (state IN ('running', 'retrying', 'succeeded', 'discarded', 'requeued')),
    attempts integer NOT NULL,
    first_started_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    worker text NOT NULL,
    error text
);
