-- Every process asks which migrations are applied, whatever else its role may do.
GRANT SELECT ON __diesel_schema_migrations TO PUBLIC;
