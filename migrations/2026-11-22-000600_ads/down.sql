DROP TABLE ads;
DROP TABLE advertisers;
