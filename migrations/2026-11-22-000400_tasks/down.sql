DROP TABLE task_runs;
DROP TABLE schedule_runs;
