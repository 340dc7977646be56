DROP INDEX dead_letters_by_ad;
DROP INDEX dead_letters_by_time;
