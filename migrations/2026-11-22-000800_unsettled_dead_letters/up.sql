-- The transaction that stores events looks here for letters that still hold them. Hardly any letter is
-- within the ids of a batch, so looking costs next to nothing.
CREATE INDEX dead_letters_unsettled ON dead_letters (event_id)
    WHERE event_id IS NOT NULL AND state <> 'requeued';

-- Letters whose events were stored before anybody looked. The subquery in the condition finds each
-- event by its key; a join might read all events.
UPDATE dead_letters SET state = 'requeued', requeued_at = coalesce(requeued_at, now())
WHERE event_id IS NOT NULL AND state <> 'requeued'
  AND (SELECT true FROM events WHERE events.event_id = dead_letters.event_id);
