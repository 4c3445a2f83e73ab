#!/bin/sh
# A database and a role per service, which only that role may use. The image runs this once, on an empty volume;
# it can be run again after a service was added. Passwords come from the environment: BILLING_PASSWORD, ...
set -eu

for service in gateway billing generation storage publishing; do
  password=$(printenv "$(echo "$service" | tr '[:lower:]' '[:upper:]')_PASSWORD")
  # On standard input, because psql puts no variables into a command that is an argument.
  psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 -v name="$service" -v password="$password" \
    --username "$POSTGRES_USER" --dbname postgres <<'SQL'
SELECT format('CREATE ROLE %I LOGIN', :'name')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
