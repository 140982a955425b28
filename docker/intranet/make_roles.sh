#!/bin/sh
# Makes the database's roles; PostgreSQL's image runs it once, when it has made the cluster.
set -eu
secrets=${SECRETS:-/run/secrets}

# Passwords are of letters that need no quotes, see make_secrets.sh; on the command line all could see them.
psql -qX -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<SQL
CREATE ROLE django LOGIN PASSWORD '$(cat "$secrets/django")';
ALTER DATABASE $POSTGRES_DB OWNER TO django;
REVOKE ALL ON DATABASE $POSTGRES_DB FROM PUBLIC;
CREATE ROLE apache LOGIN PASSWORD '$(cat "$secrets/apache")';
GRANT CONNECT ON DATABASE $POSTGRES_DB TO apache;
GRANT USAGE ON SCHEMA public TO apache;
ALTER ROLE apache SET default_transaction_read_only = on;
ALTER ROLE apache SET statement_timeout = '5s';
SQL
