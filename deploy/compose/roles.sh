#!/bin/sh
# Run once by the image of PostgreSQL, in an empty database: the three roles of docs/postgres.md.
set -eu
password() { cut -d: -f5 "/run/secrets/$1_pgpass"; }
psql --quiet --set=ON_ERROR_STOP=1 --username=postgres \
  --set=owner="$(password owner)" --set=ledger="$(password ledger)" <<'SQL'
CREATE ROLE regie_owner LOGIN PASSWORD :'owner';
CREATE ROLE regie_ledger LOGIN PASSWORD :'ledger';
CREATE ROLE regie_audit NOLOGIN;
CREATE DATABASE regie OWNER regie_owner;
REVOKE ALL ON DATABASE regie FROM PUBLIC;
GRANT CONNECT ON DATABASE regie TO regie_owner, regie_ledger, regie_audit;
SQL
