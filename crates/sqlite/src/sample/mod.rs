//! The demo database: a shop with customers (e-mail, phone), products, orders, order lines and staff (salary). The same
//! bytes every time.

mod people;
mod random;

use people::{BRANDS, CITIES, FIRST_NAMES, KINDS, LAST_NAMES, ROLES};
use random::Random;
use rusqlite::{Connection, Transaction, params};
use std::path::{Path, PathBuf};

const CUSTOMERS: u32 = 5_000;
const PRODUCTS: u32 = 240;
const ORDERS: u32 = 15_000;
const STAFF: u32 = 64;
/// Orders were placed on so many days, beginning on [`FIRST_DAY`].
const DAYS: u32 = 1_020;
const FIRST_DAY: &str = "2024-01-01";
const SEED: u64 = 0x0090_7274_756e_7573;

/// Why the demo database was not made.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// Something is there already; it is never overwritten.
    #[error("{} already exists; choose another path or remove it first", .0.display())]
    Exists(PathBuf),
    /// The file could not be put in place.
    #[error("cannot write {}: {why}", .path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// SQLite failed.
    #[error("cannot make the demo database: {0}")]
    Database(#[from] rusqlite::Error),
}

/// Makes the demo database at `path`, whole or not at all.
///
/// # Errors
/// When the path exists already or cannot be written.
pub fn create(path: impl AsRef<Path>) -> Result<(), SampleError> {
    let path = path.as_ref();
    if path.exists() {
        return Err(SampleError::Exists(path.to_owned()));
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let draft = PathBuf::from(draft);
    let file = |why| SampleError::File { path: path.to_owned(), why };
    if draft.exists() {
        std::fs::remove_file(&draft).map_err(file)?;
    }
    fill(&draft)?;
    std::fs::rename(&draft, path).map_err(file)
}

fn fill(draft: &Path) -> rusqlite::Result<()> {
    // Absolute, so that it is not taken for a URI.
    let absolute = std::path::absolute(draft).unwrap_or_else(|_| draft.to_owned());
    let mut connection = Connection::open(absolute)?;
    // Whatever interrupts this leaves only the draft.
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;")?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    let mut random = Random::new(SEED);
    staff(&transaction, &mut random)?;
    products(&transaction, &mut random)?;
    customers(&transaction, &mut random)?;
    orders(&transaction, &mut random)?;
    transaction.execute_batch(INDEXES)?;
    transaction.commit()?;
    connection.pragma_update(None, "user_version", 1)?;
    connection.close().map_err(|(_, error)| error)
}

const SCHEMA: &str = "
CREATE TABLE staff (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  city TEXT NOT NULL,
  hired_on TEXT NOT NULL,
  salary INTEGER NOT NULL,
  manager_id INTEGER REFERENCES staff (id)
);
CREATE TABLE products (
  id INTEGER PRIMARY KEY,
  sku TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  category TEXT NOT NULL,
  price REAL NOT NULL CHECK (price > 0),
  cost REAL NOT NULL,
  in_stock INTEGER NOT NULL DEFAULT 0,
  discontinued INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE customers (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  phone TEXT,
  city TEXT NOT NULL,
  country TEXT NOT NULL,
  segment TEXT NOT NULL CHECK (segment IN ('consumer', 'business', 'education')),
  joined_on TEXT NOT NULL
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer_id INTEGER NOT NULL REFERENCES customers (id),
  staff_id INTEGER REFERENCES staff (id),
  ordered_on TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('open', 'shipped', 'delivered', 'returned', 'cancelled')),
  channel TEXT NOT NULL
);
CREATE TABLE order_lines (
  order_id INTEGER NOT NULL REFERENCES orders (id),
  line INTEGER NOT NULL,
  product_id INTEGER NOT NULL REFERENCES products (id),
  quantity INTEGER NOT NULL CHECK (quantity > 0),
  unit_price REAL NOT NULL,
  discount REAL NOT NULL DEFAULT 0,
  PRIMARY KEY (order_id, line)
) WITHOUT ROWID;
CREATE VIEW order_totals AS
  SELECT o.id AS order_id, o.customer_id, o.ordered_on, o.status, count(*) AS lines,
         round(sum(l.quantity * l.unit_price * (1 - l.discount)), 2) AS total
  FROM orders AS o JOIN order_lines AS l ON l.order_id = o.id
  GROUP BY o.id;
CREATE VIEW monthly_revenue AS
  SELECT strftime('%Y-%m', o.ordered_on) AS month, count(DISTINCT o.id) AS orders,
         round(sum(l.quantity * l.unit_price * (1 - l.discount)), 2) AS revenue
  FROM orders AS o JOIN order_lines AS l ON l.order_id = o.id
  WHERE o.status NOT IN ('cancelled', 'returned')
  GROUP BY month;
CREATE VIEW customer_contacts AS
  SELECT id AS customer_id, name, email, phone FROM customers;
";

const INDEXES: &str = "
CREATE INDEX orders_by_customer ON orders (customer_id, ordered_on);
CREATE INDEX orders_by_day ON orders (ordered_on);
CREATE INDEX order_lines_by_product ON order_lines (product_id);
CREATE INDEX customers_by_place ON customers (country, city);
CREATE INDEX products_by_category ON products (category);
";

fn staff(transaction: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare(
        "INSERT INTO staff VALUES (?1, ?2, ?3, ?4, date('2012-03-01', '+' || ?5 || ' days'), ?6, ?7)",
    )?;
    for id in 1..=STAFF {
        let (role, base) = match id {
            1 => ("Managing director", 168_000),
            2..=7 => ("Team lead", 88_000),
            _ => random.pick(ROLES),
        };
        let manager = match id {
            1 => None,
            2..=7 => Some(1),
            _ => Some(2 + random.below(6)),
        };
        let name = format!("{} {}", random.pick(FIRST_NAMES), random.pick(LAST_NAMES));
        let (city, _, _) = random.pick(CITIES);
        let salary = base + random.below(180) * 100;
        insert.execute(params![id, name, role, city, random.below(5_000), salary, manager])?;
    }
    Ok(())
}

fn products(transaction: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO products VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for id in 1..=PRODUCTS {
        let (kind, category, low, high) = random.pick(KINDS);
        let name = format!("{} {kind} {}", random.pick(BRANDS), 100 + random.below(90) * 10);
        let cents = (low + random.below(high - low)) * 100 + 99;
        let price = f64::from(cents) / 100.0;
        let cost = (price * f64::from(45 + random.below(30))).round() / 100.0;
        let sku = format!("{}-{id:04}", category.get(..3).unwrap_or(category).to_uppercase());
        let discontinued = random.below(20) == 0;
        let stock = if discontinued { 0 } else { random.below(400) };
        insert.execute(params![id, sku, name, category, price, cost, stock, discontinued])?;
    }
    Ok(())
}

fn customers(transaction: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare(
        "INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, date('2021-06-01', '+' || ?8 || ' days'))",
    )?;
    for id in 1..=CUSTOMERS {
        let (first, last) = (random.pick(FIRST_NAMES), random.pick(LAST_NAMES));
        let (city, country, dialling) = random.pick(CITIES);
        // Domains that RFC 2606 keeps for examples: no one's mail.
        let domain = random.pick(&["example.com", "example.org", "example.net"]);
        let email = format!("{}.{}{id}@{domain}", people::ascii(first), people::ascii(last));
        let phone = (random.below(10) > 0)
            .then(|| format!("+{dialling} 555 {:03} {:03}", random.below(1_000), random.below(1_000)));
        let segment = random.pick(&["consumer", "consumer", "consumer", "business", "education"]);
        let name = format!("{first} {last}");
        insert.execute(params![id, name, email, phone, city, country, segment, random.below(1_900)])?;
    }
    Ok(())
}

fn orders(transaction: &Transaction<'_>, random: &mut Random) -> rusqlite::Result<()> {
    let day = format!("date('{FIRST_DAY}', '+' || ?4 || ' days')");
    let mut insert =
        transaction.prepare(&format!("INSERT INTO orders VALUES (?1, ?2, ?3, {day}, ?5, ?6)"))?;
    let mut line = transaction
        .prepare("INSERT INTO order_lines SELECT ?1, ?2, id, ?4, price, ?5 FROM products WHERE id = ?3")?;
    for id in 1..=ORDERS {
        // The smaller of two draws for customers, the larger for days: some buy often, and business grows.
        let customer = 1 + random.below(CUSTOMERS).min(random.below(CUSTOMERS));
        let day = random.below(DAYS).max(random.below(DAYS));
        let channel = random.pick(&["web", "web", "web", "phone", "store"]);
        let staff = (channel != "web").then(|| 8 + random.below(STAFF - 7));
        let status = match random.below(100) {
            _ if day + 14 > DAYS => "open",
            0..=3 => "cancelled",
            4..=8 => "returned",
            _ if day + 25 > DAYS => "shipped",
            _ => "delivered",
        };
        insert.execute(params![id, customer, staff, day, status, channel])?;
        for number in 1..=1 + random.below(4) {
            let product = 1 + random.below(PRODUCTS);
            let discount = random.pick(&[0.0, 0.0, 0.0, 0.05, 0.1, 0.2]);
            line.execute(params![id, number, product, 1 + random.below(3), discount])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(connection: &Connection, table: &str) -> u32 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_demo_database_is_large_sound_and_the_same_every_time() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("a.db"), directory.path().join("b.db"));
        create(&first).unwrap();
        create(&second).unwrap();
        assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap());
        assert!(matches!(create(&first), Err(SampleError::Exists(_))));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
        let connection = Connection::open(&first).unwrap();
        let tables = ["customers", "products", "orders", "order_lines", "staff"];
        assert!(tables.iter().map(|table| count(&connection, table)).sum::<u32>() >= 50_000);
        assert_eq!(count(&connection, "pragma_foreign_key_check"), 0);
        assert_eq!(count(&connection, "monthly_revenue"), 34);
        let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }
}
