-- Legitimate analytical queries for SQLite. Each must be understood, be `read_only`, and be answered by the built-in
-- server. First the schema with a few rows; then one statement per entry, after a line that begins with three dashes
-- and says what it asks.
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT, city TEXT, country TEXT, segment TEXT, created_on TEXT);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, category TEXT, price REAL, cost REAL, attributes TEXT);
CREATE TABLE staff (id INTEGER PRIMARY KEY, name TEXT, role TEXT, manager_id INTEGER, salary INTEGER, hired_on TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, staff_id INTEGER, ordered_on TEXT, status TEXT);
CREATE TABLE order_lines (order_id INTEGER, product_id INTEGER, quantity INTEGER, unit_price REAL, PRIMARY KEY (order_id, product_id)) WITHOUT ROWID;
CREATE TABLE events (id INTEGER PRIMARY KEY, customer_id INTEGER, kind TEXT, at TEXT, payload TEXT);
CREATE VIRTUAL TABLE notes USING fts5(title, body);
INSERT INTO customers VALUES (1, 'Ana', 'ana@example.com', 'Lisbon', 'PT', 'retail', '2025-01-10'), (2, 'Ben', 'ben@example.com', 'Berlin', 'DE', 'wholesale', '2025-02-11'), (3, 'Cy', NULL, 'Berlin', 'DE', 'retail', '2025-03-12');
INSERT INTO products VALUES (1, 'lamp', 'home', 30.0, 12.5, '{"color":"red","sizes":[1,2]}'), (2, 'desk', 'office', 250.0, 140.0, '{"color":"oak","sizes":[3]}'), (3, 'pen', 'office', 2.5, 0.5, '{}');
INSERT INTO staff VALUES (1, 'Mo', 'lead', NULL, 90000, '2020-01-01'), (2, 'Nia', 'sales', 1, 60000, '2022-05-01'), (3, 'Oz', 'sales', 1, 55000, '2023-07-15');
INSERT INTO orders VALUES (1, 1, 2, '2026-01-05', 'delivered'), (2, 2, 3, '2026-01-20', 'open'), (3, 1, 2, '2026-02-02', 'delivered'), (4, 3, NULL, '2026-02-28', 'cancelled');
INSERT INTO order_lines VALUES (1, 1, 2, 30.0), (1, 3, 10, 2.5), (2, 2, 1, 250.0), (3, 3, 100, 2.2), (4, 1, 1, 30.0);
INSERT INTO events VALUES (1, 1, 'visit', '2026-01-01 10:00:00', '{"page":"/","ms":120}'), (2, 1, 'buy', '2026-01-05 11:00:00', '{"order":1,"tags":["a","b"]}'), (3, 2, 'visit', '2026-01-19 09:30:00', '{"page":"/desk","ms":300}');
INSERT INTO notes VALUES ('Delivery', 'the lamp arrived broken'), ('Praise', 'the desk is sturdy and large');
--- everything of a table, limited
SELECT * FROM customers LIMIT 10
--- a count
SELECT count(*) AS n FROM orders
--- a constant
SELECT 1 AS one
--- grouped and ordered by position
SELECT country, count(*) FROM customers GROUP BY 1 ORDER BY 2 DESC, 1
--- grouped with a condition on groups
SELECT category, avg(price) AS mean FROM products GROUP BY category HAVING count(*) > 1 ORDER BY mean
--- filtered aggregates
SELECT count(*) FILTER (WHERE status = 'open') AS open, count(*) FILTER (WHERE status = 'delivered') AS done FROM orders
--- distinct values
SELECT DISTINCT city FROM customers WHERE country = 'DE' ORDER BY city
--- count of distinct values
SELECT count(DISTINCT customer_id) FROM orders
--- revenue per customer through three tables
SELECT c.name, sum(l.quantity * l.unit_price) AS revenue FROM customers c JOIN orders o ON o.customer_id = c.id JOIN order_lines l ON l.order_id = o.id GROUP BY c.id, c.name ORDER BY revenue DESC
--- comma joins
SELECT c.name, o.id FROM customers c, orders o WHERE o.customer_id = c.id
--- left join with a test for absence
SELECT p.name FROM products p LEFT JOIN order_lines l ON l.product_id = p.id WHERE l.order_id IS NULL
--- right join
SELECT s.name, o.id FROM orders o RIGHT JOIN staff s ON s.id = o.staff_id
--- full join
SELECT s.name, o.id FROM orders o FULL OUTER JOIN staff s ON s.id = o.staff_id ORDER BY 1, 2
--- join using a shared name
SELECT order_id, sum(quantity) FROM order_lines JOIN (SELECT id AS order_id, status FROM orders) USING (order_id) WHERE status = 'delivered' GROUP BY order_id
--- natural join
SELECT count(*) FROM (SELECT id, status FROM orders) NATURAL JOIN (SELECT id, name FROM staff)
--- cross join with one row
SELECT o.id, o.ordered_on FROM orders o CROSS JOIN (SELECT max(ordered_on) AS latest FROM orders) m WHERE o.ordered_on = m.latest
--- self join
SELECT a.name, b.name AS manager FROM staff a JOIN staff b ON b.id = a.manager_id
--- nested join in parentheses
SELECT c.name, l.quantity FROM customers c LEFT JOIN (orders o JOIN order_lines l ON l.order_id = o.id) ON o.customer_id = c.id
--- running total
SELECT ordered_on, sum(id) OVER (ORDER BY ordered_on) AS running FROM orders
--- moving average over rows
SELECT ordered_on, avg(id) OVER (ORDER BY ordered_on ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS mean FROM orders
--- rank within groups
SELECT name, role, rank() OVER (PARTITION BY role ORDER BY salary DESC) AS place FROM staff
--- dense rank and row number
SELECT name, dense_rank() OVER (ORDER BY salary), row_number() OVER (ORDER BY hired_on) FROM staff
--- quartiles
SELECT name, ntile(4) OVER (ORDER BY price) AS quartile FROM products
--- distribution of values
SELECT name, percent_rank() OVER (ORDER BY price), cume_dist() OVER (ORDER BY price) FROM products
--- change against the row before
SELECT id, ordered_on, lag(ordered_on, 1) OVER (PARTITION BY customer_id ORDER BY ordered_on) AS previous FROM orders
--- next value with a default
SELECT id, lead(id, 1, 0) OVER (ORDER BY id) FROM orders
--- first, last and nth value in a named window
SELECT name, first_value(name) OVER w, last_value(name) OVER w, nth_value(name, 2) OVER w FROM staff WINDOW w AS (PARTITION BY role ORDER BY salary)
--- window over groups
SELECT country, count(*) AS n, sum(count(*)) OVER () AS total FROM customers GROUP BY country
--- share of the total
SELECT status, round(100.0 * count(*) / (SELECT count(*) FROM orders), 1) AS percent FROM orders GROUP BY status
--- window with a filter
SELECT id, count(*) FILTER (WHERE status = 'open') OVER (ORDER BY id) FROM orders
--- window with a range frame
SELECT name, sum(salary) OVER (ORDER BY salary RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM staff
--- best row of each group
SELECT name, category, price FROM (SELECT name, category, price, row_number() OVER (PARTITION BY category ORDER BY price DESC) AS n FROM products) WHERE n = 1
--- a common table expression
WITH totals AS (SELECT order_id, sum(quantity * unit_price) AS total FROM order_lines GROUP BY order_id) SELECT o.id, t.total FROM orders o JOIN totals t ON t.order_id = o.id
--- a chain of them
WITH lines AS (SELECT order_id, quantity * unit_price AS amount FROM order_lines), totals AS (SELECT order_id, sum(amount) AS total FROM lines GROUP BY order_id) SELECT avg(total), max(total) FROM totals
--- one with names for its columns
WITH spend(customer, amount) AS (SELECT o.customer_id, sum(l.quantity * l.unit_price) FROM orders o JOIN order_lines l ON l.order_id = o.id GROUP BY 1) SELECT c.name, s.amount FROM spend s JOIN customers c ON c.id = s.customer ORDER BY s.amount DESC LIMIT 3
--- one used twice
WITH m AS (SELECT strftime('%Y-%m', ordered_on) AS month, count(*) AS n FROM orders GROUP BY 1) SELECT a.month, a.n, a.n - b.n AS change FROM m a LEFT JOIN m b ON b.month = strftime('%Y-%m', date(a.month || '-01', '-1 month'))
--- one inside a sub-query
SELECT name FROM staff WHERE id IN (WITH busy AS (SELECT staff_id FROM orders GROUP BY staff_id HAVING count(*) > 1) SELECT staff_id FROM busy)
--- one that is said to be materialised
WITH t AS MATERIALIZED (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) SELECT max(n) FROM t
--- counting up, bounded
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT sum(i) FROM n
--- days of a month, bounded
WITH RECURSIVE days(d) AS (SELECT date('2026-01-01') UNION ALL SELECT date(d, '+1 day') FROM days WHERE d < '2026-01-31') SELECT d, count(o.id) AS orders FROM days LEFT JOIN orders o ON o.ordered_on = days.d GROUP BY d
--- the tree of staff
WITH RECURSIVE chain(id, name, depth) AS (SELECT id, name, 0 FROM staff WHERE manager_id IS NULL UNION ALL SELECT s.id, s.name, c.depth + 1 FROM staff s JOIN chain c ON s.manager_id = c.id) SELECT depth, count(*), group_concat(name, ', ') FROM chain GROUP BY depth
--- a path through the tree, bounded in depth
WITH RECURSIVE up AS (SELECT id, manager_id, name AS path, 1 AS depth FROM staff WHERE id = 3 UNION ALL SELECT s.id, s.manager_id, s.name || ' > ' || up.path, up.depth + 1 FROM staff s, up WHERE s.id = up.manager_id AND up.depth < 10) SELECT path FROM up ORDER BY depth DESC LIMIT 1
--- Fibonacci numbers, limited inside
WITH RECURSIVE f(a, b) AS (SELECT 0, 1 UNION ALL SELECT b, a + b FROM f LIMIT 20) SELECT a FROM f
--- recursion with UNION
WITH RECURSIVE below(id) AS (VALUES (1) UNION SELECT staff.id FROM staff, below WHERE staff.manager_id = below.id) SELECT avg(salary) FROM staff WHERE staff.id IN (SELECT id FROM below)
--- a scalar sub-query per row
SELECT name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS orders FROM customers c ORDER BY orders DESC
--- EXISTS
SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.status = 'open')
--- NOT EXISTS
SELECT name FROM products p WHERE NOT EXISTS (SELECT 1 FROM order_lines l WHERE l.product_id = p.id)
--- IN a sub-query
SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE ordered_on >= '2026-02-01')
--- NOT IN a list
SELECT id FROM orders WHERE status NOT IN ('cancelled', 'open')
--- a sub-query within a sub-query
SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE id IN (SELECT order_id FROM order_lines WHERE product_id = 1))
--- above average
SELECT name, price FROM products WHERE price > (SELECT avg(price) FROM products)
--- compared with the average of the same group
SELECT name FROM products p WHERE price >= (SELECT avg(price) FROM products q WHERE q.category = p.category)
--- pairs of values compared
SELECT name FROM products WHERE (price, cost) > (100, 50)
--- a derived table
SELECT day, n FROM (SELECT ordered_on AS day, count(*) AS n FROM orders GROUP BY ordered_on) d WHERE d.n >= 1 ORDER BY day
--- union of two
SELECT name, 'customer' AS kind FROM customers UNION ALL SELECT name, 'staff' FROM staff ORDER BY kind, name
--- union without duplicates
SELECT city FROM customers UNION SELECT country FROM customers
--- those without orders
SELECT id FROM customers EXCEPT SELECT customer_id FROM orders
--- common to both
SELECT id FROM customers INTERSECT SELECT customer_id FROM orders
--- three parts with one limit
SELECT id FROM customers UNION SELECT id FROM products UNION SELECT id FROM staff ORDER BY id LIMIT 5
--- rows that are written out
VALUES (1, 'one'), (2, 'two')
--- rows written out, joined
WITH bands(low, high, band) AS (VALUES (0, 10, 'low'), (10, 100, 'middle'), (100, 100000, 'high')) SELECT b.band, count(p.id) FROM bands b LEFT JOIN products p ON p.price >= b.low AND p.price < b.high GROUP BY b.band
--- pivot by CASE
SELECT c.country, sum(CASE WHEN o.status = 'open' THEN 1 ELSE 0 END) AS open, sum(CASE WHEN o.status = 'delivered' THEN 1 ELSE 0 END) AS delivered FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.country
--- pivot by month
SELECT customer_id, sum(iif(strftime('%m', ordered_on) = '01', 1, 0)) AS january, sum(iif(strftime('%m', ordered_on) = '02', 1, 0)) AS february FROM orders GROUP BY customer_id
--- bands
SELECT CASE WHEN price < 10 THEN 'low' WHEN price < 100 THEN 'middle' ELSE 'high' END AS band, count(*) FROM products GROUP BY band
--- simple CASE
SELECT CASE status WHEN 'open' THEN 'o' WHEN 'delivered' THEN 'd' ELSE '-' END FROM orders
--- unpivot
SELECT name, 'price' AS what, price AS value FROM products UNION ALL SELECT name, 'cost', cost FROM products
--- median by window
SELECT avg(price) FROM (SELECT price, row_number() OVER (ORDER BY price) AS n, count(*) OVER () AS c FROM products) WHERE n IN ((c + 1) / 2, (c + 2) / 2)
--- variance
SELECT avg(salary * salary) - avg(salary) * avg(salary) AS variance, total(salary) FROM staff
--- orders per month
SELECT strftime('%Y-%m', ordered_on) AS month, count(*) FROM orders GROUP BY month
--- orders per day of the week
SELECT strftime('%w', ordered_on) AS weekday, count(*) FROM orders GROUP BY weekday
--- the last thirty days
SELECT count(*) FROM orders WHERE ordered_on >= date('now', '-30 days')
--- age in days
SELECT name, julianday('2026-03-01') - julianday(created_on) AS age FROM customers
--- start and end of a month
SELECT date('2026-02-14', 'start of month'), date('2026-02-14', 'start of month', '+1 month', '-1 day')
--- seconds between events
SELECT kind, unixepoch(at) - lag(unixepoch(at)) OVER (PARTITION BY customer_id ORDER BY at) AS seconds FROM events
--- current time in several forms
SELECT CURRENT_TIMESTAMP, datetime('now'), time('12:00', '+90 minutes'), timediff('2026-03-01', '2026-01-01')
--- a value in JSON
SELECT name, json_extract(attributes, '$.color') AS color FROM products WHERE json_valid(attributes)
--- arrow operators
SELECT payload ->> '$.page' AS page, payload -> '$.ms' AS ms FROM events WHERE kind = 'visit'
--- elements of arrays in JSON
SELECT p.name, j.value AS size FROM products p, json_each(p.attributes, '$.sizes') j
--- keys of objects in JSON
SELECT j.key, count(*) FROM events e JOIN json_each(e.payload) AS j GROUP BY j.key
--- a tree in JSON
SELECT fullkey, atom FROM events, json_tree(events.payload) WHERE atom IS NOT NULL
--- rows as JSON
SELECT json_group_array(json_object('id', id, 'name', name)) FROM customers
--- an object of groups
SELECT json_group_object(status, n) FROM (SELECT status, count(*) AS n FROM orders GROUP BY status)
--- type and length in JSON
SELECT json_type(attributes, '$.sizes'), json_array_length(attributes, '$.sizes') FROM products
--- full-text search
SELECT title, bm25(notes) AS score FROM notes WHERE notes MATCH 'lamp' ORDER BY score
--- full-text search with a prefix and a snippet
SELECT title, snippet(notes, 1, '[', ']', '...', 8) FROM notes WHERE notes MATCH 'stur*' ORDER BY rank
--- full-text search in one column, highlighted
SELECT highlight(notes, 1, '<b>', '</b>') FROM notes WHERE body MATCH 'desk AND large'
--- full-text search of a phrase, joined by rowid
SELECT n.rowid, n.title FROM notes n WHERE notes MATCH '"the lamp"' LIMIT 5
--- patterns
SELECT name FROM customers WHERE email LIKE '%@example.com' AND name GLOB 'A*'
--- a pattern with an escape
SELECT name FROM products WHERE name LIKE '10!%%' ESCAPE '!'
--- text functions
SELECT upper(name), lower(city), substr(email, 1, 3), instr(email, '@'), replace(city, 'i', 'y'), trim('  x '), length(name) FROM customers
--- the domain of an address
SELECT substr(email, instr(email, '@') + 1) AS domain, count(*) FROM customers WHERE email IS NOT NULL GROUP BY domain
--- formatted text
SELECT printf('%05d %-8s %.2f', id, name, price) FROM products
--- text put together
SELECT name || ' (' || country || ')' AS label FROM customers
--- aggregated text
SELECT country, group_concat(DISTINCT city) FROM customers GROUP BY country
--- aggregated text in order
SELECT string_agg(name, ', ' ORDER BY name) FROM staff
--- missing values
SELECT coalesce(email, 'none'), ifnull(email, ''), nullif(city, 'Berlin') FROM customers
--- arithmetic
SELECT round(price * 1.23, 2), abs(cost - price), 7 % 3, 7 / 2.0, min(price, cost), max(price, cost) FROM products
--- mathematics
SELECT sqrt(price), power(cost, 2), ln(price + 1), floor(cost), ceil(cost) FROM products
--- types
SELECT typeof(price), CAST(price AS INTEGER), CAST(id AS TEXT) FROM products
--- BETWEEN
SELECT id FROM orders WHERE ordered_on BETWEEN '2026-01-01' AND '2026-01-31'
--- NULLs last
SELECT name, email FROM customers ORDER BY email DESC NULLS LAST, name COLLATE NOCASE
--- pages
SELECT id, name FROM customers ORDER BY id LIMIT 2 OFFSET 1
--- pages with a comma
SELECT id FROM products ORDER BY price LIMIT 1, 2
--- quoted names
SELECT "name" AS [the name], `city` FROM "customers" AS [c u] WHERE [c u]."country" = 'DE'
--- names with the schema
SELECT main.customers.name FROM main.customers WHERE main.customers.id = 1
--- names in other case
SELECT Name, EMAIL FROM Customers AS C WHERE c.ID = 1
--- comments inside
SELECT /* all of them */ name -- the name
FROM customers
--- a semicolon at the end
SELECT name FROM staff;
--- cohorts
WITH firsts AS (SELECT customer_id, min(ordered_on) AS first FROM orders GROUP BY customer_id) SELECT strftime('%Y-%m', f.first) AS cohort, strftime('%Y-%m', o.ordered_on) AS month, count(DISTINCT o.customer_id) AS active FROM firsts f JOIN orders o ON o.customer_id = f.customer_id GROUP BY cohort, month
--- recency, frequency, value
SELECT c.id, max(o.ordered_on) AS recency, count(DISTINCT o.id) AS frequency, sum(l.quantity * l.unit_price) AS value FROM customers c JOIN orders o ON o.customer_id = c.id JOIN order_lines l ON l.order_id = o.id WHERE o.status <> 'cancelled' GROUP BY c.id
--- pairs that are bought together
SELECT a.product_id, b.product_id AS with_product, count(*) AS times FROM order_lines a JOIN order_lines b ON b.order_id = a.order_id AND a.product_id < b.product_id GROUP BY a.product_id, b.product_id
--- margin per category
SELECT category, round(100.0 * sum(price - cost) / sum(price), 1) AS margin FROM products GROUP BY category
--- gaps between numbers
SELECT a.id + 1 AS missing FROM orders a LEFT JOIN orders b ON b.id = a.id + 1 WHERE b.id IS NULL
--- islands of dates
WITH numbered AS (SELECT ordered_on, julianday(ordered_on) - row_number() OVER (ORDER BY ordered_on) AS island FROM orders) SELECT min(ordered_on), max(ordered_on), count(*) FROM numbered GROUP BY island
--- a funnel
SELECT count(DISTINCT CASE WHEN kind = 'visit' THEN customer_id END) AS visits, count(DISTINCT CASE WHEN kind = 'buy' THEN customer_id END) AS buys FROM events
--- the schema
SELECT type, name FROM sqlite_schema ORDER BY name
--- random sample
SELECT id FROM customers ORDER BY random() LIMIT 2
--- rowid
SELECT rowid, name FROM customers WHERE rowid = 1
