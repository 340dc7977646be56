DROP TABLE restatements;
DROP TABLE roll_ups;
DROP TABLE dirty_days;
DROP TABLE dirty_hours;
DROP TABLE ad_daily_stats;
DROP TABLE ad_hourly_stats;
