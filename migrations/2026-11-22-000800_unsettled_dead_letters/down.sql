DROP INDEX dead_letters_unsettled;
