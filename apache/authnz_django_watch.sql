-- mod_authnz_django, watch=CHANNEL: triggers that tell httpd when what it has read of users has changed.
--
-- As the owner of the tables, in the site's database; again after a change of these words or of the tables:
--
--   psql -d intranet -v channel=users -f authnz_django_watch.sql
--
-- channel      the CHANNEL of watch=                             authnz_django
-- users        the users (AuthDjangoUserModel, table=)           auth_user
-- columns      of them, what httpd reads                         id,username,password,is_active,is_staff,is_superuser
-- export       and what AuthDjangoExport names, as email,phone
-- groups       joins users to groups                             USERS_groups
-- permissions  joins users to permissions                        USERS_user_permissions
-- sessions     the sessions: django_session                      none
--
-- An empty word (-v permissions=) means that there is no such table. Tables in another schema are written with it. What
-- fits none of this, such as a child of multi-table inheritance, takes a call of its own:
--
--   SELECT authnz_django_watch('users', 'staff_employee', '{person_ptr_id,badge}');
--
-- authnz_django_unwatch.sql takes all of it away.

\set ON_ERROR_STOP on
\if :{?channel}
\else
    \set channel authnz_django
\endif
\if :{?users}
\else
    \set users auth_user
\endif
\if :{?columns}
\else
    \set columns id,username,password,is_active,is_staff,is_superuser
\endif
\if :{?export}
    \set columns :columns ',' :export
\endif
\if :{?groups}
\else
    \set groups :users _groups
\endif
\if :{?permissions}
\else
    \set permissions :users _user_permissions
\endif
\if :{?sessions}
\else
    \set sessions ''
\endif

BEGIN;
SET LOCAL client_min_messages = warning;
-- Logins must not queue behind a transaction that holds one of the tables.
SET LOCAL lock_timeout = '5s';

-- Says that something has changed, and not what: anybody may listen.
CREATE OR REPLACE FUNCTION authnz_django_watch_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.pg_notify(TG_ARGV[0], '');
    RETURN NULL;
END
$$;

-- Watches a table: of its columns those that are named, or all of them; new rows only where httpd remembers that there
-- are none. httpd looks whether the triggers are there, and knows by their arguments which columns they cover.
CREATE OR REPLACE FUNCTION authnz_django_watch(channel text, relation regclass, columns text[] DEFAULT NULL,
    new_rows boolean DEFAULT true)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed text;
    arguments text;
    event record;
BEGIN
    IF channel !~ '^[A-Za-z_][A-Za-z0-9_]{0,39}$' THEN
        RAISE 'the channel % must be a word of at most 40 letters, digits and _', channel;
    END IF;
    -- As text and byte by byte: citext and some collations take for equal what httpd does not.
    SELECT string_agg(format('(OLD.%1$I)::text COLLATE "C" IS DISTINCT FROM (NEW.%1$I)::text COLLATE "C"', name), ' OR '),
           string_agg(format(', %L', name), '')
        INTO changed, arguments FROM (SELECT DISTINCT unnest(columns) AS name) named WHERE name <> '';
    FOR event IN SELECT * FROM (VALUES
        ('_update', 'UPDATE', 'ROW', coalesce('WHEN (' || changed || ')', ''), coalesce(arguments, '')),
        ('_rows', CASE WHEN new_rows THEN 'INSERT OR DELETE' ELSE 'DELETE' END, 'ROW', '', ''),
        ('_truncate', 'TRUNCATE', 'STATEMENT', '', '')
    ) AS events (suffix, happens, each, condition, further) LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', 'authnz_django_' || channel || event.suffix, relation);
        EXECUTE format(
            'CREATE TRIGGER %I AFTER %s ON %s FOR EACH %s %s EXECUTE PROCEDURE authnz_django_watch_notify(%L%s)',
            'authnz_django_' || channel || event.suffix, event.happens, relation, event.each, event.condition, channel,
            event.further);
        -- Replication and session_replication_role change users too.
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation,
            'authnz_django_' || channel || event.suffix);
    END LOOP;
END
$$;

SELECT authnz_django_watch(:'channel', :'users', string_to_array(:'columns', ',')) \g /dev/null
SELECT authnz_django_watch(:'channel', relation::regclass)
    FROM (VALUES (:'groups'), (:'permissions'), ('auth_group'), ('auth_group_permissions'), ('auth_permission'),
        ('django_content_type')) AS tables (relation)
    WHERE relation <> '' \g /dev/null
SELECT authnz_django_watch(:'channel', relation::regclass, '{session_key,session_data,expire_date}', false)
    FROM (VALUES (:'sessions')) AS tables (relation) WHERE relation <> '' \g /dev/null
COMMIT;
