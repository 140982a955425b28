-- mod_authnz_django: takes away what authnz_django_watch.sql installed, for every channel. httpd then reads each row
-- anew. To be run before a migration that alters a watched column, too.
--
--   psql -d intranet -f authnz_django_unwatch.sql

\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '5s';

DO $$
DECLARE
    watching record;
BEGIN
    FOR watching IN SELECT t.tgname, t.tgrelid::regclass AS relation FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE p.proname = 'authnz_django_watch_notify' AND NOT t.tgisinternal
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', watching.tgname, watching.relation);
    END LOOP;
END
$$;

DROP FUNCTION IF EXISTS authnz_django_watch(text, regclass, text[], boolean);
DROP FUNCTION IF EXISTS authnz_django_watch_notify();
COMMIT;
