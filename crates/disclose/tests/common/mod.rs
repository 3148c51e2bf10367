//! Values of each data class with right check digits, in the forms people write them, and values that are none. The same
//! ones in every run.

#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::too_many_lines, reason = "helpers of tests")]

use portunus_disclose::class::{BUILT_IN, Class, Treatment};
use portunus_disclose::veil::{Classes, Rules, Veil};

pub fn veil(treatment: Treatment) -> Veil {
    let treatments = BUILT_IN.into_iter().map(|class| (class, treatment)).collect();
    let key = Some(portunus_core::secret::Secret::new([7; 32]));
    Classes::default().veil(&Rules { treatments, key, ..Rules::default() }).unwrap()
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
    pub fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }
    pub fn from(&mut self, alphabet: &str, count: usize) -> String {
        let all: Vec<char> = alphabet.chars().collect();
        (0..count).map(|_| self.pick(&all)).collect()
    }
    pub fn date(&mut self) -> (u64, u64, u64) {
        (self.between(1940, 2009), self.between(1, 12), self.between(1, 28))
    }
}

pub const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
pub const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
pub const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
pub const HEX: &str = "0123456789abcdef";

fn values(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| c.to_digit(10)).collect()
}

fn weighted(text: &str, weights: &[u32]) -> u32 {
    values(text).iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

pub fn with_luhn(body: &str) -> String {
    let sum: u32 = values(body)
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| if i % 2 == 0 { d * 2 / 10 + d * 2 % 10 } else { *d })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// `text` cut into groups of these widths.
pub fn grouped(text: &str, widths: &[usize], separator: &str) -> String {
    let mut at = 0;
    let mut parts = Vec::new();
    for width in widths {
        parts.push(&text[at..at + width]);
        at += width;
    }
    assert_eq!(at, text.len());
    parts.join(separator)
}

pub fn email(random: &mut Random) -> String {
    let local = random.pick(&["ana", "Bea.Ito", "c_d", "x-y+tag", "jose", "m.mueller99", "o'brien", "7even"]);
    let number = random.below(10_000);
    let domain = random.pick(&[
        "example.com",
        "mail.example.co.uk",
        "exa-mple.org",
        "EXAMPLE.NET",
        "xn--exmple-cua.de",
        "a.io",
    ]);
    match random.below(4) {
        0 => format!("{local}{number}@{domain}"),
        1 => format!("q{number}@s{}.{domain}", random.below(99)),
        2 => format!("josé{number}@exämple{number}.de"),
        _ => format!("{}{number}.{local}@{domain}", random.from(LOWER, 3)),
    }
}

pub fn phone(random: &mut Random) -> String {
    let (a, b, c) = (random.between(2, 9), random.digits(2), random.between(2, 9));
    let (d, e) = (random.digits(2), random.digits(4));
    match random.below(22) {
        0 => format!("+1 ({a}{b}) {c}{d}-{e}"),
        1 => format!("({a}{b}) {c}{d}-{e}"),
        2 => format!("{a}{b}-{c}{d}-{e}"),
        3 => format!("{a}{b}.{c}{d}.{e}"),
        4 => format!("1-{a}{b}-{c}{d}-{e}"),
        5 => format!("+49 15{} {}", random.below(10), random.digits(8)),
        6 => format!("+49 (0)30 {}", random.digits(7)),
        7 => format!("0049-89-{}", random.digits(8)),
        8 => format!("0{}/{}", random.between(151, 179), random.digits(7)),
        9 => format!("030 {}", random.digits(8)),
        10 => format!("+44 20 7{} {}", random.digits(3), random.digits(4)),
        11 => format!("020 7{} {}", random.digits(3), random.digits(4)),
        12 => format!("+33{}{}", random.between(1, 9), random.digits(8)),
        13 => format!(
            "0{} {} {} {} {}",
            random.between(1, 9),
            random.digits(2),
            random.digits(2),
            random.digits(2),
            random.digits(2)
        ),
        14 => format!("+34 6{} {} {}", random.digits(2), random.digits(3), random.digits(3)),
        15 => format!("+81-3-{}-{}", random.digits(4), random.digits(4)),
        16 => format!("+86 1{} {} {}", random.between(30, 89), random.digits(4), random.digits(4)),
        17 => format!("+91 {} {}", random.between(60000, 99999), random.digits(5)),
        18 => format!("Tel. {}{}", random.between(2, 9), random.digits(7)),
        19 => format!("phone: 0{}{}", random.between(15, 17), random.digits(9)),
        20 => format!("+31.6.{}", random.digits(8)),
        _ => format!("+41 (44) {} {} {}", random.digits(3), random.digits(2), random.digits(2)),
    }
}

pub fn iban(random: &mut Random) -> String {
    let bank = random.from(UPPER, 4);
    let (country, body) = match random.below(10) {
        0 => ("DE", random.digits(18)),
        1 => ("GB", format!("{bank}{}", random.digits(14))),
        2 => ("FR", format!("{}{}{}", random.digits(10), random.from("ABC0123456789", 11), random.digits(2))),
        3 => ("NL", format!("{bank}{}", random.digits(10))),
        4 => ("ES", random.digits(20)),
        5 => (
            "IT",
            format!("{}{}{}", random.from(UPPER, 1), random.digits(10), random.from("ABC0123456789", 12)),
        ),
        6 => ("CH", random.digits(17)),
        7 => ("PL", random.digits(24)),
        8 => ("NO", random.digits(11)),
        _ => ("MT", format!("{bank}{}{}", random.digits(5), random.from("ABC0123456789", 18))),
    };
    let number = format!("{body}{country}00");
    let rest = number.chars().fold(0_u32, |rest, sign| {
        let value = sign.to_digit(36).unwrap();
        if value > 9 { (rest * 100 + value) % 97 } else { (rest * 10 + value) % 97 }
    });
    let whole = format!("{country}{:02}{body}", 98 - rest);
    let fours = |separator: &str| {
        whole
            .as_bytes()
            .chunks(4)
            .map(|c| std::str::from_utf8(c).unwrap())
            .collect::<Vec<_>>()
            .join(separator)
    };
    match random.below(6) {
        0 => fours(" "),
        1 => fours("-"),
        2 => fours("\u{a0}"),
        3 => whole.to_lowercase(),
        4 => fours("."),
        _ => whole,
    }
}

pub fn bare_card(random: &mut Random) -> String {
    let (prefix, length) = random.pick(&[
        ("4", 16),
        ("51", 16),
        ("55", 16),
        ("2221", 16),
        ("2720", 16),
        ("34", 15),
        ("37", 15),
        ("6011", 16),
        ("65", 16),
        ("36", 14),
        ("3530", 16),
        ("62", 16),
        ("62", 19),
        ("6759", 16),
        ("4", 19),
        ("305", 14),
    ]);
    with_luhn(&format!("{prefix}{}", random.digits(length - 1 - prefix.len())))
}

pub fn card(random: &mut Random) -> String {
    let card = bare_card(random);
    let separator = random.pick(&[" ", "-", ".", "\u{a0}", "\u{2011}", "  "]);
    match (random.below(3), card.len()) {
        (0, _) => card,
        (_, 16) => grouped(&card, &[4, 4, 4, 4], separator),
        (_, 15) => grouped(&card, &[4, 6, 5], separator),
        (_, 14) => grouped(&card, &[4, 6, 4], separator),
        _ => grouped(&card, &[4, 4, 4, 4, 3], separator),
    }
}

/// A value, and what must stand before it for it to be known (often nothing).
pub fn national_id(random: &mut Random) -> (&'static str, String) {
    let (year, month, day) = random.date();
    let yy = year % 100;
    match random.below(20) {
        0 => (
            "",
            format!(
                "{:03}-{:02}-{:04}",
                random.between(100, 665),
                random.between(1, 99),
                random.between(1, 9999)
            ),
        ),
        1 => (
            "SSN: ",
            format!("{}{:02}{:04}", random.between(100, 665), random.between(1, 99), random.between(1, 9999)),
        ),
        2 | 3 => {
            let letters = format!("{}{}", random.from("ABCEHJLMPRST", 1), random.from("ACEHJLMPRSX", 1));
            let (digits, last) = (random.digits(6), random.from("ABCD", 1));
            let spaced = format!("{letters} {} {last}", grouped(&digits, &[2, 2, 2], " "));
            ("", if random.below(2) == 0 { spaced } else { format!("{letters}{digits}{last}") })
        }
        4 => ("", german(random)),
        5 | 6 => {
            let body =
                format!("{}{yy:02}{month:02}{}{}", random.between(1, 2), random.digits(5), random.digits(3));
            let key = 97 - body.parse::<u64>().unwrap() % 97;
            let whole = format!("{body}{key:02}");
            ("", if random.below(2) == 0 { grouped(&whole, &[1, 2, 2, 2, 3, 3, 2], " ") } else { whole })
        }
        7 => {
            let value = random.below(100_000_000);
            let letter = b"TRWAGMYFPDXBNJZSQVHLCKE"[(value % 23) as usize] as char;
            ("", format!("{value:08}{}{letter}", random.pick(&["", "-"])))
        }
        8 => {
            let (first, value) = (random.below(3), random.below(10_000_000));
            let letter = b"TRWAGMYFPDXBNJZSQVHLCKE"[((first * 10_000_000 + value) % 23) as usize] as char;
            ("", format!("{}{value:07}{letter}", ["X", "Y", "Z"][first as usize]))
        }
        9 | 10 => {
            let body = format!(
                "{}{yy:02}{}{day:02}{}{}",
                random.from(UPPER, 6),
                random.from("ABCDEHLMPRST", 1),
                random.from(UPPER, 1),
                random.digits(3)
            );
            let odd = [
                1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
            ];
            let sum: u32 = body
                .bytes()
                .enumerate()
                .map(|(i, b)| {
                    let v = if b.is_ascii_digit() { b - b'0' } else { b - b'A' };
                    if i % 2 == 0 { odd[v as usize] } else { u32::from(v) }
                })
                .sum();
            let whole = format!("{body}{}", char::from(b'A' + (sum % 26) as u8));
            ("", if random.below(2) == 0 { whole.to_lowercase() } else { whole })
        }
        11 => loop {
            let body = random.digits(8);
            let rest = weighted(&body, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
            if rest < 10 && body.starts_with(|c| c != '0') {
                return ("BSN ", format!("{body}{rest}"));
            }
        },
        12 => {
            let month = if year < 2000 { month } else { month + 20 };
            let body = format!("{yy:02}{month:02}{day:02}{}", random.digits(4));
            ("", format!("{body}{}", (10 - weighted(&body, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10) % 10))
        }
        13 => {
            let own = with_luhn(&format!("{yy:02}{month:02}{day:02}{}", random.digits(3)));
            let own = grouped(&own, &[6, 4], "-");
            ("", if random.below(2) == 0 { own } else { format!("{}{own}", year / 100) })
        }
        14 => {
            let body = format!("756{}", random.digits(9));
            let check = (10 - weighted(&body, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]) % 10) % 10;
            let whole = format!("{body}{check}");
            ("", if random.below(2) == 0 { grouped(&whole, &[3, 4, 4, 2], ".") } else { whole })
        }
        15 => {
            let body = format!("{yy:02}{month:02}{day:02}{:03}", random.between(1, 997));
            let number: u64 =
                if year < 2000 { body.parse().unwrap() } else { format!("2{body}").parse().unwrap() };
            let whole = format!("{body}{:02}", 97 - number % 97);
            let dotted =
                format!("{}.{}.{}-{}.{}", &whole[..2], &whole[2..4], &whole[4..6], &whole[6..9], &whole[9..]);
            ("", if random.below(2) == 0 { dotted } else { whole })
        }
        16 => {
            let sign = if year < 2000 { "-" } else { "A" };
            let (date, own) =
                (format!("{day:02}{month:02}{yy:02}"), format!("{:03}", random.between(2, 899)));
            let check =
                b"0123456789ABCDEFHJKLMNPRSTUVWXY"[(format!("{date}{own}").parse::<usize>().unwrap()) % 31];
            ("", format!("{date}{sign}{own}{}", check as char))
        }
        17 => loop {
            let body = format!("{day:02}{month:02}{yy:02}{}", random.digits(3));
            let first = (11 - weighted(&body, &[3, 7, 6, 1, 8, 9, 4, 5, 2]) % 11) % 11;
            let second =
                (11 - weighted(&format!("{body}{}", first % 10), &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
            if first < 10 && second < 10 {
                return ("", format!("{body}{first}{second}"));
            }
        },
        18 => {
            let body = random.digits(9);
            let check = |text: &str, from: u32| {
                let sum: u32 = values(text).iter().zip((2..=from).rev()).map(|(d, w)| d * w).sum();
                sum * 10 % 11 % 10
            };
            let first = check(&body, 10);
            let second = check(&format!("{body}{first}"), 11);
            ("", format!("{}.{}.{}-{first}{second}", &body[..3], &body[3..6], &body[6..]))
        }
        _ => {
            let body =
                format!("{}{year}{month:02}{day:02}{}", random.between(110_000, 659_000), random.digits(3));
            let sum = weighted(&body, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
            let check = (12 - sum % 11) % 11;
            ("", if check == 10 { format!("{body}X") } else { format!("{body}{check}") })
        }
    }
}

fn german(random: &mut Random) -> String {
    let mut all: Vec<u64> = (0..10).collect();
    loop {
        for index in (1..10).rev() {
            all.swap(index, random.below(index as u64 + 1) as usize);
        }
        if all[0] != 0 {
            break;
        }
    }
    let mut ten = all.clone();
    ten[9] = ten[random.below(8) as usize + 1];
    let body: String = ten.iter().map(u64::to_string).collect();
    let product = ten.iter().fold(10, |product, digit| {
        let sum = (digit + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    let whole = format!("{body}{}", (11 - product) % 10);
    if random.below(2) == 0 { grouped(&whole, &[2, 3, 3, 3], " ") } else { whole }
}

/// A secret with what announces it, and the part that must not be shown.
pub fn secret(random: &mut Random) -> (String, String) {
    let mut of = |prefix: &str, count: usize| {
        let token = format!("{prefix}{}1", random.from(ALNUM, count));
        (token.clone(), token)
    };
    match of("", 1).1.bytes().next().unwrap() % 20 {
        0 => of("ghp_", 35),
        1 => of("github_pat_", 40),
        2 => of("sk-ant-api03-", 60),
        3 => of("sk-proj-", 40),
        4 => of("sk_live_", 24),
        5 => of("xoxb-123456789012-", 24),
        6 => of("AIza", 34),
        7 => of("ptn_at_", 43),
        8 => of("glpat-", 20),
        9 => of("npm_", 35),
        10 => of("hf_", 33),
        11 => of("SG.", 60),
        12 => {
            let token = format!("AKIA{}", random.from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16));
            (token.clone(), token)
        }
        13 | 14 => {
            let token =
                format!("eyJhbGciOiJIUzI1NiJ9.eyJ{}.{}", random.from(ALNUM, 40), random.from(ALNUM, 43));
            (token.clone(), token)
        }
        15 => {
            let password = random.from(ALNUM, 12);
            (format!("postgres://ana:{password}@db.example.com:5432/sales"), password)
        }
        16 => {
            let password = format!("{}!", random.from(ALNUM, 12));
            (format!("Server=db;User Id=sa;Password={password};Encrypt=true"), password)
        }
        17 => {
            let token = format!("{}7", random.from(ALNUM, 40));
            (format!("Authorization: Bearer {token}"), token)
        }
        18 => {
            let value = format!("{}9", random.from(ALNUM, 20));
            (format!("api_key={value}"), value)
        }
        _ => {
            let line = random.from(ALNUM, 64);
            let kind = random.pick(&["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "]);
            (
                format!(
                    "-----BEGIN {kind}PRIVATE KEY-----\n{line}\n{}==\n-----END {kind}PRIVATE KEY-----",
                    random.from(ALNUM, 30)
                ),
                line,
            )
        }
    }
}

/// What is planted, and what must not be seen again.
pub fn canaries(class: &Class, count: usize) -> Vec<(String, String)> {
    let mut random = Random(class.name().bytes().map(u64::from).sum());
    let same = |value: String| (value.clone(), value);
    let mut all = Vec::new();
    while all.len() < count {
        all.push(match class {
            Class::Email => same(email(&mut random)),
            Class::Phone => {
                let whole = phone(&mut random);
                let core = whole.trim_start_matches("Tel. ").trim_start_matches("phone: ").to_owned();
                (whole, core)
            }
            Class::Iban => same(iban(&mut random)),
            Class::Card => same(card(&mut random)),
            Class::NationalId => {
                let (label, value) = national_id(&mut random);
                (format!("{label}{value}"), value)
            }
            _ => secret(&mut random),
        });
    }
    all
}

/// Kinds of values that belong to no class.
pub fn clean(count: usize) -> Vec<(&'static str, Vec<String>)> {
    const WORDS: &[&str] = &[
        "harbour",
        "gate",
        "ledger",
        "Grüße",
        "naïve",
        "quarterly",
        "invoice",
        "north",
        "shipment",
        "of",
        "the",
        "and",
        "with",
        "review",
        "open",
        "closed",
        "customer",
        "order",
        "total",
        "password",
        "card",
        "token",
        "phone",
        "key",
        "mail",
    ];
    type Make = fn(&mut Random) -> String;
    let kinds: &[(&'static str, Make)] = &[
        ("uuid", |r| {
            format!(
                "{}-{}-4{}-a{}-{}",
                r.from(HEX, 8),
                r.from(HEX, 4),
                r.from(HEX, 3),
                r.from(HEX, 3),
                r.from(HEX, 12)
            )
        }),
        ("ISO date", |r| {
            format!("{}-{:02}-{:02}", r.between(1990, 2030), r.between(1, 12), r.between(1, 28))
        }),
        ("ISO time stamp", |r| {
            format!(
                "{}-{:02}-{:02}T{:02}:{:02}:{:02}.{}Z",
                r.between(1990, 2030),
                r.between(1, 12),
                r.between(1, 28),
                r.below(24),
                r.below(60),
                r.below(60),
                r.digits(6)
            )
        }),
        ("SQL time stamp", |r| {
            format!(
                "{}-{:02}-{:02} {:02}:{:02}:{:02}+00",
                r.between(1990, 2030),
                r.between(1, 12),
                r.between(1, 28),
                r.below(24),
                r.below(60),
                r.below(60)
            )
        }),
        ("European date", |r| {
            format!(
                "{:02}.{:02}.{} {:02}:{:02}",
                r.between(1, 28),
                r.between(1, 12),
                r.between(1990, 2030),
                r.below(24),
                r.below(60)
            )
        }),
        ("American date", |r| {
            format!("{:02}/{:02}/{}", r.between(1, 12), r.between(1, 28), r.between(1990, 2030))
        }),
        ("Unix seconds", |r| r.between(1_000_000_000, 1_900_000_000).to_string()),
        ("Unix milliseconds", |r| r.between(1_000_000_000_000, 1_900_000_000_000).to_string()),
        ("Unix microseconds", |r| r.between(1_000_000_000_000_000, 1_900_000_000_000_000).to_string()),
        ("compact time stamp", |r| {
            format!(
                "{}{:02}{:02}{:02}{:02}{:02}",
                r.between(1990, 2030),
                r.between(1, 12),
                r.between(1, 28),
                r.below(24),
                r.below(60),
                r.below(60)
            )
        }),
        ("price", |r| format!("{}.{:02}", r.below(1_000_000), r.below(100))),
        ("price in words", |r| format!("€ {},{:03}.{:02}", r.between(1, 999), r.below(1000), r.below(100))),
        ("small integer", |r| r.below(1_000_000).to_string()),
        ("9-digit integer", |r| r.between(100_000_000, 999_999_999).to_string()),
        ("10-digit integer", |r| r.between(1_000_000_000, 9_999_999_999).to_string()),
        ("12-digit integer", |r| r.between(100_000_000_000, 999_999_999_999).to_string()),
        ("snowflake id", |r| r.between(1_000_000_000_000_000_000, 1_999_999_999_999_999_999).to_string()),
        ("order number", |r| format!("ORD-{}-{:06}", r.between(2015, 2026), r.below(1_000_000))),
        ("dated number", |r| {
            format!(
                "{}{:02}{:02}-{:04}",
                r.between(2020, 2026),
                r.between(1, 12),
                r.between(1, 28),
                r.below(10_000)
            )
        }),
        ("invoice number", |r| format!("INV{}", r.digits(8))),
        ("zero-padded id", |r| format!("{:010}", r.below(10_000_000))),
        ("SHA-1", |r| r.from(HEX, 40)),
        ("SHA-256", |r| r.from(HEX, 64)),
        ("git revision", |r| r.from(HEX, 7)),
        ("version", |r| format!("{}.{}.{}-rc.{}", r.below(30), r.below(30), r.below(300), r.below(9))),
        ("IPv4", |r| {
            format!("{}.{}.{}.{}:{}", r.below(256), r.below(256), r.below(256), r.below(256), r.below(65_536))
        }),
        ("IPv6", |r| format!("2001:db8:{}:{}::{}", r.from(HEX, 4), r.from(HEX, 4), r.from(HEX, 4))),
        ("MAC address", |r| (0..6).map(|_| r.from(HEX, 2)).collect::<Vec<_>>().join(":")),
        ("ISBN-13", |r| {
            let d = r.digits(9);
            let body = format!("978{d}");
            let s: u32 =
                values(&body).iter().enumerate().map(|(i, v)| if i % 2 == 0 { *v } else { v * 3 }).sum();
            format!("978-{}-{}-{}-{}", &d[..1], &d[1..5], &d[5..], (10 - s % 10) % 10)
        }),
        ("ISBN-10", |r| {
            let d = r.digits(10);
            format!("{}-{}-{}-{}", &d[..1], &d[1..4], &d[4..9], &d[9..])
        }),
        ("GTIN-13", |r| {
            let body =
                format!("{}{}", r.pick(&["400", "426", "501", "590", "871", "690", "300"]), r.digits(9));
            let s: u32 =
                values(&body).iter().enumerate().map(|(i, v)| if i % 2 == 0 { *v } else { v * 3 }).sum();
            format!("{body}{}", (10 - s % 10) % 10)
        }),
        ("coordinates", |r| format!("{}.{}, {}.{}", r.below(90), r.digits(6), r.below(180), r.digits(6))),
        ("float", |r| format!("{}.{}", r.below(10), r.digits(16))),
        ("base64", |r| format!("{}==", r.from(ALNUM, 46))),
        ("name", |r| {
            format!(
                "{} {}",
                r.pick(&["Ana", "José", "Łucja", "Bjørn", "Mei"]),
                r.pick(&["López", "O'Brien", "Müller-Lüdenscheidt", "van der Berg", "Ng"])
            )
        }),
        ("address", |r| {
            format!(
                "{} Harbour Road, {} {}",
                r.below(999),
                r.digits(5),
                r.pick(&["Ostia", "München", "San José", "Leeds LS1 4AP"])
            )
        }),
        ("sentence", |r| (0..12).map(|_| r.pick(WORDS)).collect::<Vec<_>>().join(" ")),
        ("SQL", |r| {
            format!(
                "SELECT c{} FROM orders WHERE id = {} AND total > {}.50 AND note <> 'a''b' LIMIT {}",
                r.below(9),
                r.digits(6),
                r.below(9999),
                r.below(100)
            )
        }),
        ("Markdown", |r| {
            format!(
                "# Report {}\n\n| id | total |\n|---|---|\n| {} | {}.{} |\n\n- **{}** of `{}`",
                r.below(99),
                r.digits(5),
                r.digits(4),
                r.digits(2),
                r.pick(WORDS),
                r.digits(3)
            )
        }),
        ("URL", |r| {
            format!(
                "https://www.example.com/{}/{}?page={}&sort=asc#s{}",
                r.pick(&["orders", "items"]),
                r.digits(7),
                r.below(99),
                r.below(9)
            )
        }),
        ("path", |r| {
            format!(
                "/srv/data/{}/{}-{:02}/part-{}.csv",
                r.from(LOWER, 6),
                r.between(2015, 2026),
                r.between(1, 12),
                r.digits(5)
            )
        }),
        ("mention or package", |r| {
            format!(
                "@{}/{}@{}.{}.{}",
                r.from(LOWER, 5),
                r.from(LOWER, 6),
                r.below(9),
                r.below(30),
                r.below(9)
            )
        }),
        ("SKU", |r| format!("{}-{}-{}", r.from(UPPER, 3), r.digits(4), r.from(UPPER, 2))),
        ("numbers in a row", |r| (0..8).map(|_| r.below(10_000).to_string()).collect::<Vec<_>>().join(", ")),
        ("dimensions", |r| {
            format!("{}x{}x{} mm, {} kg", r.below(2000), r.below(2000), r.below(900), r.below(90))
        }),
        ("duration and size", |r| {
            format!(
                "{}h {:02}m {:02}s, {}.{} MB",
                r.below(99),
                r.below(60),
                r.below(60),
                r.below(999),
                r.below(9)
            )
        }),
        ("flight and seat", |r| {
            format!("LH{} {}{} 2{}C", r.below(9999), r.from(UPPER, 3), r.from(UPPER, 3), r.below(9))
        }),
    ];
    let mut random = Random(42);
    kinds.iter().map(|(kind, make)| (*kind, (0..count).map(|_| make(&mut random)).collect())).collect()
}
