-- Legitimate analytical queries for PostgreSQL. Each must be understood and be `read_only`. First the schema with a few
-- rows; then one statement per entry, after a line that begins with three dashes and says what it asks.
CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL, email text, city text, country text, segment text, tags text[], created_at timestamptz);
CREATE TABLE products (id integer PRIMARY KEY, name text, category text, price numeric(10, 2), cost numeric(10, 2), attributes jsonb);
CREATE TABLE staff (id integer PRIMARY KEY, name text, role text, manager_id integer REFERENCES staff, salary integer, hired_on date);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, staff_id integer REFERENCES staff, ordered_at timestamptz, status text);
CREATE TABLE order_lines (order_id integer REFERENCES orders, product_id integer REFERENCES products, quantity integer, unit_price numeric(10, 2), PRIMARY KEY (order_id, product_id));
CREATE TABLE events (id bigint PRIMARY KEY, customer_id integer, kind text, at timestamptz, payload jsonb);
CREATE TABLE articles (id integer PRIMARY KEY, title text, body text, document tsvector);
INSERT INTO customers VALUES (1, 'Ana', 'ana@example.com', 'Lisbon', 'PT', 'retail', '{a,b}', '2025-01-10'), (2, 'Ben', 'ben@example.com', 'Berlin', 'DE', 'wholesale', '{b}', '2025-02-11'), (3, 'Cy', NULL, 'Berlin', 'DE', 'retail', '{}', '2025-03-12');
INSERT INTO products VALUES (1, 'lamp', 'home', 30, 12.5, '{"color": "red", "sizes": [1, 2]}'), (2, 'desk', 'office', 250, 140, '{"color": "oak"}'), (3, 'pen', 'office', 2.5, 0.5, '{}');
INSERT INTO staff VALUES (1, 'Mo', 'lead', NULL, 90000, '2020-01-01'), (2, 'Nia', 'sales', 1, 60000, '2022-05-01'), (3, 'Oz', 'sales', 1, 55000, '2023-07-15');
INSERT INTO orders VALUES (1, 1, 2, '2026-01-05', 'delivered'), (2, 2, 3, '2026-01-20', 'open'), (3, 1, 2, '2026-02-02', 'delivered'), (4, 3, NULL, '2026-02-28', 'cancelled');
INSERT INTO order_lines VALUES (1, 1, 2, 30), (1, 3, 10, 2.5), (2, 2, 1, 250), (3, 3, 100, 2.2), (4, 1, 1, 30);
INSERT INTO events VALUES (1, 1, 'visit', '2026-01-01 10:00', '{"page": "/", "ms": 120}'), (2, 1, 'buy', '2026-01-05 11:00', '{"order": 1, "tags": ["a"]}'), (3, 2, 'visit', '2026-01-19 09:30', '{"page": "/desk", "ms": 300}');
INSERT INTO articles VALUES (1, 'Delivery', 'the lamp arrived broken', to_tsvector('english', 'the lamp arrived broken'));
--- everything of a table, limited
SELECT * FROM customers LIMIT 10
--- a count
SELECT count(*) AS n FROM orders
--- grouped and ordered by position
SELECT country, count(*) FROM customers GROUP BY 1 ORDER BY 2 DESC, 1
--- grouped with a condition on groups
SELECT category, avg(price)::numeric(10, 2) AS mean FROM products GROUP BY category HAVING count(*) > 1 ORDER BY mean
--- filtered aggregates
SELECT count(*) FILTER (WHERE status = 'open') AS open, count(*) FILTER (WHERE status = 'delivered') AS done FROM orders
--- count of distinct values
SELECT count(DISTINCT customer_id) FROM orders
--- revenue per customer
SELECT c.name, sum(l.quantity * l.unit_price) AS revenue FROM customers c JOIN orders o ON o.customer_id = c.id JOIN order_lines l ON l.order_id = o.id GROUP BY c.id, c.name ORDER BY revenue DESC
--- comma joins
SELECT c.name, o.id FROM customers c, orders o WHERE o.customer_id = c.id
--- left join with a test for absence
SELECT p.name FROM products p LEFT JOIN order_lines l ON l.product_id = p.id WHERE l.order_id IS NULL
--- full join
SELECT s.name, o.id FROM orders o FULL OUTER JOIN staff s ON s.id = o.staff_id ORDER BY 1, 2
--- join using a shared name
SELECT order_id, sum(quantity) FROM order_lines JOIN (SELECT id AS order_id, status FROM orders) o USING (order_id) WHERE status = 'delivered' GROUP BY order_id
--- self join
SELECT a.name, b.name AS manager FROM staff a JOIN staff b ON b.id = a.manager_id
--- nested join
SELECT c.name, l.quantity FROM customers c LEFT JOIN (orders o JOIN order_lines l ON l.order_id = o.id) ON o.customer_id = c.id
--- running total
SELECT ordered_at, sum(id) OVER (ORDER BY ordered_at) AS running FROM orders
--- moving average
SELECT ordered_at, avg(id) OVER (ORDER BY ordered_at ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS mean FROM orders
--- a window over a range of time
SELECT ordered_at, count(*) OVER (ORDER BY ordered_at RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW) AS week FROM orders
--- rank within groups
SELECT name, role, rank() OVER (PARTITION BY role ORDER BY salary DESC) AS place FROM staff
--- dense rank and row number
SELECT name, dense_rank() OVER (ORDER BY salary), row_number() OVER (ORDER BY hired_on) FROM staff
--- quartiles and distribution
SELECT name, ntile(4) OVER (ORDER BY price), percent_rank() OVER (ORDER BY price), cume_dist() OVER (ORDER BY price) FROM products
--- change against the row before
SELECT id, ordered_at - lag(ordered_at) OVER (PARTITION BY customer_id ORDER BY ordered_at) AS pause FROM orders
--- named window
SELECT name, first_value(name) OVER w, last_value(name) OVER w, nth_value(name, 2) OVER w FROM staff WINDOW w AS (PARTITION BY role ORDER BY salary)
--- window over groups
SELECT country, count(*) AS n, sum(count(*)) OVER () AS total FROM customers GROUP BY country
--- share of the total
SELECT status, round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent FROM orders GROUP BY status
--- best row of each group
SELECT * FROM (SELECT name, category, price, row_number() OVER (PARTITION BY category ORDER BY price DESC) AS n FROM products) ranked WHERE n = 1
--- latest of each
SELECT DISTINCT ON (customer_id) customer_id, id, ordered_at FROM orders ORDER BY customer_id, ordered_at DESC
--- a common table expression
WITH totals AS (SELECT order_id, sum(quantity * unit_price) AS total FROM order_lines GROUP BY order_id) SELECT o.id, t.total FROM orders o JOIN totals t ON t.order_id = o.id
--- a chain of them
WITH lines AS (SELECT order_id, quantity * unit_price AS amount FROM order_lines), totals AS (SELECT order_id, sum(amount) AS total FROM lines GROUP BY order_id) SELECT avg(total), max(total) FROM totals
--- one with names for its columns
WITH spend(customer, amount) AS (SELECT o.customer_id, sum(l.quantity * l.unit_price) FROM orders o JOIN order_lines l ON l.order_id = o.id GROUP BY 1) SELECT c.name, s.amount FROM spend s JOIN customers c ON c.id = s.customer ORDER BY s.amount DESC LIMIT 3
--- one that is materialised
WITH t AS MATERIALIZED (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) SELECT max(n) FROM t
--- counting up, bounded
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT sum(i) FROM n
--- the tree of staff
WITH RECURSIVE chain AS (SELECT id, name, 0 AS depth FROM staff WHERE manager_id IS NULL UNION ALL SELECT s.id, s.name, c.depth + 1 FROM staff s JOIN chain c ON s.manager_id = c.id) SELECT depth, count(*), string_agg(name, ', ' ORDER BY name) FROM chain GROUP BY depth
--- a path, bounded in depth
WITH RECURSIVE up AS (SELECT id, manager_id, ARRAY[name] AS path FROM staff WHERE id = 3 UNION ALL SELECT s.id, s.manager_id, up.path || s.name FROM staff s, up WHERE s.id = up.manager_id AND cardinality(up.path) < 10) SELECT path FROM up
--- lateral: the latest two of each
SELECT c.name, o.id FROM customers c CROSS JOIN LATERAL (SELECT id FROM orders WHERE customer_id = c.id ORDER BY ordered_at DESC LIMIT 2) o
--- lateral left join
SELECT c.name, t.total FROM customers c LEFT JOIN LATERAL (SELECT sum(l.quantity * l.unit_price) AS total FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.customer_id = c.id) t ON true
--- a scalar sub-query per row
SELECT name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS orders FROM customers c ORDER BY orders DESC
--- EXISTS and NOT EXISTS
SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id) AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.status = 'open')
--- IN a sub-query
SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE ordered_at >= '2026-02-01')
--- ANY of an array
SELECT name FROM customers WHERE country = ANY (ARRAY['DE', 'PT'])
--- ALL of a sub-query
SELECT name FROM products WHERE price >= ALL (SELECT price FROM products)
--- compared with the average of the same group
SELECT name FROM products p WHERE price >= (SELECT avg(price) FROM products q WHERE q.category = p.category)
--- union with order and limit
SELECT name, 'customer' AS kind FROM customers UNION ALL SELECT name, 'staff' FROM staff ORDER BY kind, name LIMIT 20
--- EXCEPT and INTERSECT
(SELECT id FROM customers EXCEPT SELECT customer_id FROM orders) INTERSECT SELECT id FROM staff
--- rows written out
SELECT band, count(p.id) FROM (VALUES (0, 10, 'low'), (10, 100, 'middle')) AS b(low, high, band) LEFT JOIN products p ON p.price >= b.low AND p.price < b.high GROUP BY band
--- VALUES alone
VALUES (1, 'one'), (2, 'two')
--- pivot by FILTER
SELECT c.country, count(*) FILTER (WHERE o.status = 'open') AS open, count(*) FILTER (WHERE o.status = 'delivered') AS delivered FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.country
--- pivot by CASE
SELECT customer_id, sum(CASE WHEN extract(month FROM ordered_at) = 1 THEN 1 ELSE 0 END) AS january FROM orders GROUP BY customer_id
--- grouping sets
SELECT country, city, count(*) FROM customers GROUP BY GROUPING SETS ((country, city), (country), ())
--- rollup
SELECT category, name, sum(price) FROM products GROUP BY ROLLUP (category, name)
--- cube
SELECT country, segment, count(*), grouping(country, segment) FROM customers GROUP BY CUBE (country, segment)
--- median
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY price) AS median FROM products
--- several percentiles
SELECT percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY salary) FROM staff
--- most frequent value
SELECT mode() WITHIN GROUP (ORDER BY country) FROM customers
--- statistics
SELECT stddev(salary), variance(salary), corr(salary, id), regr_slope(salary, id) FROM staff
--- histogram
SELECT width_bucket(price, 0, 300, 6) AS bucket, count(*) FROM products GROUP BY bucket ORDER BY bucket
--- orders per month
SELECT date_trunc('month', ordered_at) AS month, count(*) FROM orders GROUP BY month ORDER BY month
--- orders per day of the week
SELECT extract(isodow FROM ordered_at) AS weekday, count(*) FROM orders GROUP BY weekday
--- the last thirty days
SELECT count(*) FROM orders WHERE ordered_at >= now() - INTERVAL '30 days'
--- age
SELECT name, age(timestamp '2026-03-01', created_at::timestamp) FROM customers
--- a date written out
SELECT id FROM orders WHERE ordered_at >= DATE '2026-01-01' AND ordered_at < DATE '2026-02-01'
--- formatted dates
SELECT to_char(ordered_at, 'YYYY-MM') AS month, to_char(ordered_at, 'Dy') FROM orders
--- time zones
SELECT ordered_at AT TIME ZONE 'Europe/Berlin' FROM orders
--- epoch seconds
SELECT extract(epoch FROM (max(ordered_at) - min(ordered_at))) FROM orders
--- days of a month without gaps
SELECT d::date AS day, count(o.id) FROM generate_series(date '2026-01-01', date '2026-01-31', interval '1 day') AS d LEFT JOIN orders o ON o.ordered_at::date = d::date GROUP BY d ORDER BY d
--- a series of numbers
SELECT n, n * n AS square FROM generate_series(1, 10) AS s(n)
--- bins of time
SELECT date_bin('15 minutes', at, timestamptz '2026-01-01') AS bin, count(*) FROM events GROUP BY bin
--- made dates
SELECT make_date(2026, 1, 31), current_date, current_timestamp, localtimestamp
--- overlapping periods
SELECT id FROM orders WHERE ordered_at BETWEEN '2026-01-01' AND '2026-01-31'
--- a value in JSON
SELECT name, attributes ->> 'color' AS color FROM products
--- a path in JSON
SELECT payload #>> '{tags,0}' FROM events
--- containment in JSON
SELECT count(*) FROM products WHERE attributes @> '{"color": "red"}'
--- a key in JSON
SELECT name FROM products WHERE attributes ? 'sizes'
--- elements of an array in JSON
SELECT p.name, s.value FROM products p CROSS JOIN LATERAL jsonb_array_elements(p.attributes -> 'sizes') AS s(value)
--- keys and values in JSON
SELECT e.id, kv.key, kv.value FROM events e, jsonb_each_text(e.payload) AS kv
--- keys in JSON, counted
SELECT k, count(*) FROM events, jsonb_object_keys(payload) AS k GROUP BY k
--- rows as JSON
SELECT jsonb_agg(jsonb_build_object('id', id, 'name', name) ORDER BY id) FROM customers
--- an object of groups
SELECT jsonb_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM orders GROUP BY status) s
--- a JSON path
SELECT jsonb_path_query_array(attributes, '$.sizes[*]') FROM products
--- typed value of JSON
SELECT (payload ->> 'ms')::integer AS ms FROM events WHERE jsonb_typeof(payload -> 'ms') = 'number'
--- average of JSON
SELECT payload ->> 'page' AS page, avg((payload ->> 'ms')::numeric) FROM events WHERE kind = 'visit' GROUP BY 1
--- full-text search
SELECT title, ts_rank(document, q) AS score FROM articles, to_tsquery('english', 'lamp & broken') AS q WHERE document @@ q ORDER BY score DESC
--- full-text search of plain words
SELECT title FROM articles WHERE document @@ plainto_tsquery('english', 'broken lamp')
--- full-text search on the fly, with a headline
SELECT ts_headline('english', body, websearch_to_tsquery('english', 'lamp')) FROM articles WHERE to_tsvector('english', body) @@ websearch_to_tsquery('english', 'lamp')
--- unnested arrays
SELECT tag, count(*) FROM customers, unnest(tags) AS tag GROUP BY tag
--- unnested with position
SELECT c.name, t.tag, t.n FROM customers c, unnest(c.tags) WITH ORDINALITY AS t(tag, n)
--- arrays
SELECT array_agg(name ORDER BY name), array_length(array_agg(id), 1) FROM staff
--- array overlap and containment
SELECT name FROM customers WHERE tags && ARRAY['a'] OR tags @> ARRAY['b']
--- array element
SELECT tags[1], array_to_string(tags, ',') FROM customers
--- an array of a sub-query
SELECT c.name, ARRAY(SELECT o.id FROM orders o WHERE o.customer_id = c.id) AS orders FROM customers c
--- text functions
SELECT upper(name), initcap(city), left(email, 3), position('@' IN email), split_part(email, '@', 2), trim(name), char_length(name) FROM customers
--- substring and overlay
SELECT substring(email FROM 1 FOR 3), substring(email, 2), overlay(name PLACING 'x' FROM 1 FOR 1) FROM customers
--- regular expressions
SELECT name FROM customers WHERE email ~* '^[a-z]+@' AND city !~ '^X'
--- replaced by a regular expression
SELECT regexp_replace(email, '@.*$', '') FROM customers
--- ILIKE
SELECT name FROM products WHERE name ILIKE '%LA%'
--- SIMILAR TO
SELECT name FROM products WHERE name SIMILAR TO '(l|d)%'
--- text put together
SELECT concat_ws(', ', name, city), name || ' (' || country || ')', format('%s: %s', name, city) FROM customers
--- padded text
SELECT lpad(id::text, 6, '0'), rpad(name, 10, '.') FROM products
--- missing values
SELECT coalesce(email, 'none'), nullif(city, 'Berlin'), greatest(id, 2), least(id, 2) FROM customers
--- distinct from
SELECT id FROM orders WHERE staff_id IS DISTINCT FROM 2
--- truth
SELECT name FROM customers WHERE (email IS NOT NULL) IS TRUE
--- arithmetic
SELECT round(price * 1.23, 2), ceil(cost), floor(cost), abs(cost - price), mod(id, 2), power(id, 2), sqrt(price) FROM products
--- casts in three ways
SELECT CAST(price AS integer), price::text, numeric '1.5' FROM products
--- NULLs last
SELECT name, email FROM customers ORDER BY email DESC NULLS LAST
--- pages
SELECT id, name FROM customers ORDER BY id OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY
--- names with the schema
SELECT public.customers.name FROM public.customers WHERE public.customers.id = 1
--- quoted names
SELECT "name" AS "the name" FROM "customers" "c u" WHERE "c u"."country" = 'DE'
--- comments inside
SELECT /* all /* of */ them */ name -- the name
FROM customers;
--- cohorts
WITH firsts AS (SELECT customer_id, date_trunc('month', min(ordered_at)) AS cohort FROM orders GROUP BY customer_id) SELECT f.cohort, date_trunc('month', o.ordered_at) AS month, count(DISTINCT o.customer_id) AS active FROM firsts f JOIN orders o USING (customer_id) GROUP BY 1, 2 ORDER BY 1, 2
--- recency, frequency, value
SELECT c.id, max(o.ordered_at) AS recency, count(DISTINCT o.id) AS frequency, sum(l.quantity * l.unit_price) AS value FROM customers c JOIN orders o ON o.customer_id = c.id JOIN order_lines l ON l.order_id = o.id WHERE o.status <> 'cancelled' GROUP BY c.id
--- pairs that are bought together
SELECT a.product_id, b.product_id AS with_product, count(*) AS times FROM order_lines a JOIN order_lines b ON b.order_id = a.order_id AND a.product_id < b.product_id GROUP BY 1, 2
--- islands of dates
WITH numbered AS (SELECT ordered_at::date AS day, ordered_at::date - (row_number() OVER (ORDER BY ordered_at))::integer AS island FROM orders) SELECT min(day), max(day), count(*) FROM numbered GROUP BY island
--- a funnel
SELECT count(DISTINCT customer_id) FILTER (WHERE kind = 'visit') AS visits, count(DISTINCT customer_id) FILTER (WHERE kind = 'buy') AS buys FROM events
--- columns of the schema
SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
--- a whole row as JSON
SELECT to_jsonb(p) FROM products p
--- row comparison
SELECT name FROM products WHERE (price, cost) > (100, 50)
